import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from crypto_platform.settings import (
    ENV_FILE_VARIABLE,
    MOVED_TO_ALERT_URLS,
    PROJECT_ROOT,
    RENAMED,
    Settings,
    settings,
    use,
)

EXAMPLE = PROJECT_ROOT / ".env.example"
ENTRY = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)


def test_the_example_lists_every_setting_and_no_other_in_their_order() -> None:
    assert [name for name, _ in ENTRY.findall(EXAMPLE.read_text())] == [name.upper() for name in Settings.model_fields]


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_example_shows_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT_ROOT)
    file = tmp_path / "env"
    file.write_text("\n".join(f"{name}={value}" for name, value in ENTRY.findall(EXAMPLE.read_text())))
    monkeypatch.setenv(ENV_FILE_VARIABLE, os.devnull)
    defaults = Settings()
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(file))
    assert Settings() == defaults


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("SPARK_REMOTE=sc://file:1\nSNOWFLAKE_USER=FILE\n")
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(file))
    monkeypatch.setenv("SNOWFLAKE_USER", "ENVIRONMENT")
    assert Settings().spark_remote == "sc://file:1"
    assert Settings().snowflake_user == "ENVIRONMENT"


def test_another_process_gets_the_same_settings_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(tmp_path / "env"))
    (tmp_path / "env").write_text("SPARK_REMOTE=sc://file:1\n")
    mine = Settings(
        spark_remote=None,
        crypto_platform_home=tmp_path,
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="app",
        kafka_sasl_password=SecretStr("s3cret"),
        sandbox_kafka_port=1234,
        sandbox_simulated=True,
    )
    for name, value in mine.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == mine


def test_used_settings_are_the_process_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    settings.cache_clear()
    use(Settings(crypto_platform_home=tmp_path))
    try:
        assert settings().crypto_platform_home == tmp_path
    finally:
        settings.cache_clear()


def test_a_relative_home_is_one_for_all_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(crypto_platform_home=Path("home")).crypto_platform_home == tmp_path / "home"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sandbox_kafka_port": 70000},
        {"sandbox_spark_memory": "lots"},
        {"sandbox_snowflake_memory": "600MB'; attach 'x"},
        {"snowflake_database": 'MARKET"; drop database x; --'},
        {"snowflake_role": "a b"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_values_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)


def test_an_error_does_not_show_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_KAFKA_PORT", "s3cret")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("given", ["environment", "file"])
def test_a_name_of_before_stops_with_todays(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(tmp_path / "env"))
    if given == "file":
        (tmp_path / "env").write_text("HISTORY_DAYS=30\n")
    else:
        monkeypatch.setenv("HISTORY_DAYS", "30")
    with pytest.raises(ValidationError, match="HISTORY_DAYS is now called RUN_RETENTION_DAYS"):
        Settings()


@pytest.mark.parametrize("name", sorted(MOVED_TO_ALERT_URLS))
def test_a_channel_s_setting_of_before_stops_with_todays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, os.devnull)
    monkeypatch.setenv(name, "s3cret")
    with pytest.raises(ValidationError, match=f"{name} is now part of a URL in ALERT_URLS") as error:
        Settings()
    assert "s3cret" not in str(error.value)


KEYS = {"snowflake_account": "org-account", "snowflake_private_key_file": Path("loader.p8")}


@pytest.mark.parametrize(
    ("half", "says"),
    [
        ({"stage_url": "s3://bucket/x"}, "STAGE_URL is set and SNOWFLAKE_EXTERNAL_STAGE is not"),
        ({"snowflake_external_stage": "RAW.LANDING"}, "SNOWFLAKE_EXTERNAL_STAGE is set and STAGE_URL is not"),
        (
            {"snowflake_private_key_file": Path("x.p8")},
            "SNOWFLAKE_PRIVATE_KEY_FILE is set and SNOWFLAKE_ACCOUNT is not",
        ),
        (
            {"snowflake_account": "org-account", "snowflake_private_key_file_pwd": SecretStr("s3cret")},
            "SNOWFLAKE_PRIVATE_KEY_FILE_PWD is set and SNOWFLAKE_PRIVATE_KEY_FILE is not",
        ),
        (KEYS | {"snowflake_dbt_user": "DBT"}, "SNOWFLAKE_DBT_USER is set and SNOWFLAKE_DBT_PRIVATE_KEY_FILE is not"),
        (
            KEYS | {"snowflake_dbt_private_key_file": Path("dbt.p8")},
            "SNOWFLAKE_DBT_PRIVATE_KEY_FILE is set and SNOWFLAKE_DBT_USER is not",
        ),
        (
            {"superset_snowflake_private_key_file_pwd": SecretStr("s3cret")},
            "SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE_PWD is set and SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE is not",
        ),
        ({"kafka_sasl_username": "app"}, "KAFKA_SASL_USERNAME is set and KAFKA_SASL_PASSWORD is not"),
        (
            {"kafka_sasl_username": "app", "kafka_sasl_password": SecretStr("s3cret")},
            "KAFKA_SASL_PASSWORD is set and KAFKA_SASL_MECHANISM is not",
        ),
        (
            {"spark_connect_authenticate_token": SecretStr("s3cret")},
            "SPARK_CONNECT_AUTHENTICATE_TOKEN is set and SPARK_REMOTE is not",
        ),
        # Not a half, but a secret in an address, which is shown.
        (
            {"spark_remote": "sc://spark:443/;use_ssl=true;token=s3cret"},
            "holds a token: take it out, and set SPARK_CONNECT_AUTHENTICATE_TOKEN",
        ),
    ],
)
def test_a_half_of_a_pair_is_refused_by_name_and_without_its_value(half: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as error:
        Settings(**half)
    assert "s3cret" not in str(error.value)


def test_whole_pairs_and_local_folders_are_taken() -> None:
    assert Settings(stage_url="s3://bucket/x/", snowflake_external_stage="RAW.LANDING").stage == "s3://bucket/x"
    assert Settings(stage_url="/shared/stage/").stage == "/shared/stage"


def test_dbt_and_the_dashboards_log_in_as_they_are_set_or_as_the_platform() -> None:
    loader = KEYS | {"snowflake_user": "SVC_LOADER", "snowflake_role": "LOADER", "snowflake_warehouse": "LOADING"}
    shared = Settings(**loader)
    assert (shared.for_dbt.snowflake_user, shared.for_dbt.snowflake_role) == ("SVC_LOADER", "LOADER")
    assert shared.for_dbt.snowflake_private_key_file == KEYS["snowflake_private_key_file"]
    own = Settings(
        **loader,
        snowflake_private_key_file_pwd=SecretStr("s3cret"),
        snowflake_dbt_user="SVC_TRANSFORMER",
        snowflake_dbt_private_key_file=Path("transformer.p8"),
        snowflake_dbt_warehouse="TRANSFORMING",
        superset_snowflake_role="READER",
    )
    assert own.for_dbt.snowflake_private_key_file == Path("transformer.p8")
    assert own.for_dbt.snowflake_private_key_file_pwd is None
    assert (own.for_dbt.snowflake_role, own.for_dbt.snowflake_warehouse) == ("LOADER", "TRANSFORMING")
    assert (own.for_dashboards.snowflake_role, own.for_dashboards.snowflake_warehouse) == ("READER", "LOADING")


def test_names_of_before_are_no_settings_and_todays_are() -> None:
    assert {new.lower() for new in RENAMED.values()} <= set(Settings.model_fields)
    assert not {old.lower() for old in RENAMED} & set(Settings.model_fields)
