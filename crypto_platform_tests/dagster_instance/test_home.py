from pathlib import Path

import yaml
from dagster import DagsterInstance
from pydantic import SecretStr

from crypto_platform.dagster_instance.event_log_storage import CompactSqliteEventLogStorage
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.settings import PROJECT_ROOT, Settings


def test_the_project_s_dagster_yaml_is_in_force(fresh_settings: Settings) -> None:
    home = dagster_home(fresh_settings)
    assert home == dagster_home(fresh_settings) == fresh_settings.crypto_platform_home / "dagster"
    with DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds > 0
        assert not instance.run_retries_retry_on_asset_or_op_failure
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.run_queue_config
        assert isinstance(instance.event_log_storage, CompactSqliteEventLogStorage)
    assert (home / "history" / "runs" / "index.db").exists()


def test_postgres_is_its_storage_without_the_password_on_disk(fresh_settings: Settings) -> None:
    url = SecretStr("postgresql+psycopg2://dagster:secret@db:5432/dagster")
    made = (dagster_home(fresh_settings.model_copy(update={"dagster_postgres_url": url})) / "dagster.yaml").read_text()
    found = yaml.safe_load(made)
    for part in ("run_storage", "schedule_storage", "event_log_storage"):
        assert found[part]["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}
    assert found["run_launcher"]["class"] == "HealthCheckedRunLauncher"
    assert "secret" not in made


def test_a_dagster_yaml_of_one_s_own_stays(fresh_settings: Settings, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert dagster_home(fresh_settings.model_copy(update={"dagster_home": own})) == own
    assert (own / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_it_follows_the_project_s_dagster_yaml(fresh_settings: Settings) -> None:
    path = dagster_home(fresh_settings) / "dagster.yaml"
    made = path.read_text()
    path.write_text(made + "# of an older project\n")
    dagster_home(fresh_settings)
    assert path.read_text() == made
    assert (PROJECT_ROOT / "dagster.yaml").read_text() in made
