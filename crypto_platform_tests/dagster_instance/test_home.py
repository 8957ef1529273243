from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DefaultRunLauncher
from pydantic import SecretStr

from crypto_platform.dagster_instance.event_log_storage import CompactSqliteEventLogStorage
from crypto_platform.dagster_instance.home import RunLauncherFileError, dagster_home
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


def test_the_run_launcher_is_that_of_a_file(fresh_settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "launcher.yaml"
    file.write_text("run_launcher: {module: dagster, class: DefaultRunLauncher}\n")
    home = dagster_home(fresh_settings.model_copy(update={"dagster_run_launcher_file": file}))
    with DagsterInstance.from_config(str(home)) as instance:
        assert type(instance.run_launcher) is DefaultRunLauncher


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: .*No such file"),
        ("run_launcher: [", "cannot be read"),
        ("run_launcher: {}\nstorage: {}", "and nothing else"),
        ("KubernetesRunLauncher", "must hold `run_launcher`"),
    ],
)
def test_a_file_without_a_run_launcher_is_named(
    text: str | None, said: str, fresh_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "launcher.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RunLauncherFileError, match=f"DAGSTER_RUN_LAUNCHER_FILE, {file}, .*{said}"):
        dagster_home(fresh_settings.model_copy(update={"dagster_run_launcher_file": file}))
    assert not list(fresh_settings.crypto_platform_home.rglob("dagster.yaml"))


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
