import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from crypto_platform.connectors.superset import home, server
from crypto_platform.connectors.superset.client import connect
from crypto_platform.connectors.superset.home import SupersetError
from crypto_platform.settings import Settings


def test_secrets_are_generated_once_for_their_owner_alone(fresh_settings: Settings) -> None:
    first = home.login(fresh_settings).password.get_secret_value()
    assert home.login(fresh_settings).password.get_secret_value() == first
    assert len(first) >= 24
    (file,) = home.folder(fresh_settings).iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    key = home.environment(fresh_settings)["SUPERSET_SECRET_KEY"]
    assert len(key) >= 42
    assert key != first


def test_secrets_that_are_set_are_used_and_none_is_generated(fresh_settings: Settings) -> None:
    chosen = {"superset_password": SecretStr("mine"), "superset_secret_key": SecretStr("key")}
    settings = fresh_settings.model_copy(update=chosen)
    assert home.login(settings).password.get_secret_value() == "mine"
    assert home.environment(settings)["SUPERSET_SECRET_KEY"] == "key"
    assert not home.folder(settings).exists()


def test_on_snowflake_the_dashboards_have_a_login_of_their_own(fresh_settings: Settings, tmp_path: Path) -> None:
    settings = fresh_settings.model_copy(
        update={
            "snowflake_account": "org-account",
            "snowflake_role": "LOADER",
            "snowflake_private_key_file": tmp_path / "loader.p8",
        }
    )
    with pytest.raises(ValueError, match="SUPERSET_SNOWFLAKE_ROLE and SUPERSET_SNOWFLAKE_PRIVATE_KEY_FILE"):
        home.warehouse(settings)
    reader = {"superset_snowflake_role": "READER", "superset_snowflake_private_key_file": tmp_path / "reader.p8"}
    told = home.warehouse(settings.model_copy(update=reader))
    assert (told["user"], told["role"], told["account"]) == ("DASHBOARD", "READER", "org-account")
    assert told["private_key_file"] == str(tmp_path / "reader.p8")
    assert "LOADER" not in json.dumps(told)


def test_where_the_sandbox_serves_the_bars_pages_say_so(fresh_settings: Settings) -> None:
    assert home.environment(fresh_settings)["SUPERSET_SOURCE"] == "sandbox"
    alpaca = fresh_settings.model_copy(update={"apca_api_data_url": "https://data.example"})
    assert home.environment(alpaca)["SUPERSET_SOURCE"] == ""


def test_without_an_installation_the_mend_is_named(fresh_settings: Settings, tmp_path: Path) -> None:
    settings = fresh_settings.model_copy(update={"superset_venv": tmp_path / "none"})
    with pytest.raises(SupersetError, match="make dashboard"):
        server.prepare(settings)


def test_without_a_superset_that_answers_the_mend_is_named(fresh_settings: Settings) -> None:
    settings = fresh_settings.model_copy(update={"superset_url": "http://127.0.0.1:9"})
    with pytest.raises(SupersetError, match="crypto-platform up --dashboard"), connect(settings):
        pass


def test_another_database_of_the_metadata_is_set_up_anew(
    fresh_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = fresh_settings.model_copy(update={"superset_venv": tmp_path})
    home.installed(settings).write_text("lock")
    monkeypatch.setattr(server, "run_set_up", lambda python, environment: None)

    def at(url: str) -> Settings:
        return settings.model_copy(update={"superset_metadata_url": SecretStr(url)})

    one, other = (
        "postgresql+psycopg2://superset:secret@db:5432/one",
        "postgresql+psycopg2://superset:secret@db:5432/other",
    )
    assert server.prepare(settings)
    assert not server.prepare(settings)
    assert server.prepare(at(one))
    assert not server.prepare(at(one.replace("secret", "rotated")))
    assert server.prepare(at(other))
