import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from crypto_platform.cli.doctor import Finding, examine
from crypto_platform.connectors.snowflake.account_checks import Lack
from crypto_platform.market.feed_spec import feeds
from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.alpaca.conftest import KEY, SECRET


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


def test_a_machine_that_is_set_up_is_well(fresh_settings: Settings) -> None:
    found = findings(fresh_settings)
    assert {name for name, finding in found.items() if not finding.ok} <= {"memory", "disk"}
    assert found["java"].found.startswith("21.")
    assert found["kafka port"].ok


def test_what_is_missing_comes_with_what_to_do(fresh_settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wrong = fresh_settings.model_copy(
            update={
                "sandbox_java": "system",
                "java_home": tmp_path,
                "jvm_jars": tmp_path,
                "sandbox_spark_port": server.getsockname()[1],
            }
        )
        found = findings(wrong)
    assert "unset SANDBOX_JAVA" in found["java"].remediation
    assert "crypto_platform.sandbox.jars" in found["jars"].remediation
    assert f"process {os.getpid()}" in found["spark port"].found
    assert "SANDBOX_SPARK_PORT" in found["spark port"].remediation


def test_a_home_that_cannot_be_written_is_named(fresh_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = findings(fresh_settings.model_copy(update={"crypto_platform_home": tmp_path / "file" / "home"}))
    assert "CRYPTO_PLATFORM_HOME" in found["disk"].remediation


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_systems_that_do_not_answer_are_named_with_their_settings(fresh_settings: Settings) -> None:
    nowhere = fresh_settings.model_copy(
        update={
            "apca_api_data_url": "http://127.0.0.1:1",
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "spark_remote": "sc://127.0.0.1:1",
            "snowflake_account": "org-account",
        }
    )
    found = findings(nowhere)
    assert "APCA_API_DATA_URL" in found["alpaca"].remediation
    assert "KAFKA_BOOTSTRAP_SERVERS" in found["kafka"].remediation
    assert "SPARK_REMOTE" in found["spark"].remediation
    assert "SNOWFLAKE_PRIVATE_KEY_FILE" in found["snowflake"].remediation


def test_each_login_on_an_account_is_told_what_it_lacks(
    fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account stands in for a real one: only the loader lacks something there."""

    @contextmanager
    def connect(given: Settings) -> Iterator[Settings]:
        yield given

    def lacks(login: Settings, given: Settings, service: str, feeds: object) -> list[Lack]:
        assert (
            login.snowflake_user == {"LOADER": "SVC_LOADER", "TRANSFORMER": "SVC_DBT", "READER": "DASHBOARD"}[service]
        )
        return [Lack("LOADER lacks a privilege", f"GRANT {n} …;") for n in (1, 2)] if service == "LOADER" else []

    monkeypatch.setattr("crypto_platform.connectors.snowflake.connection.connect", connect)
    monkeypatch.setattr("crypto_platform.connectors.snowflake.account_checks.lacks", lacks)
    account = fresh_settings.model_copy(
        update={
            "snowflake_account": "org-account",
            "snowflake_user": "SVC_LOADER",
            "snowflake_dbt_user": "SVC_DBT",
        }
    )
    found = findings(account)
    assert found["snowflake"].found == "LOADER lacks a privilege"
    assert found["snowflake"].remediation.split() == ["GRANT", "1", "…;", "GRANT", "2", "…;"]
    assert found["snowflake for dbt"].found == "org-account takes SVC_DBT, who holds what TRANSFORMER needs"
    assert found["snowflake for dashboards"].found.startswith("not set up")
    dashboards = account.model_copy(update={"superset_snowflake_private_key_file": Path("reader.p8")})
    assert findings(dashboards)["snowflake for dashboards"].found.endswith("who holds what READER needs")


def test_a_key_that_is_wrong_is_told_by_its_own_setting(fresh_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "dbt.p8").write_text("nonsense")
    account = fresh_settings.model_copy(
        update={
            "snowflake_account": "org-account",
            "snowflake_private_key_file": tmp_path / "absent.p8",
            "snowflake_dbt_user": "SVC_DBT",
            "snowflake_dbt_private_key_file": tmp_path / "dbt.p8",
        }
    )
    found = findings(account)
    assert found["snowflake"].found.startswith("SNOWFLAKE_PRIVATE_KEY_FILE cannot be read")
    assert found["snowflake for dbt"].found.startswith("SNOWFLAKE_DBT_PRIVATE_KEY_FILE is no private key")


def test_systems_that_answer_are_well(sandbox: Settings) -> None:
    found = findings(sandbox)
    assert found["snowflake"].found == f"running at http://127.0.0.1:{sandbox.sandbox_snowflake_port}"
    external = sandbox.model_copy(
        update={
            "apca_api_data_url": sandbox.alpaca_url,
            "kafka_bootstrap_servers": sandbox.kafka_servers,
            "spark_remote": sandbox.spark_url,
        }
    )
    logins = findings(external)
    assert [name for name in ("alpaca", "kafka", "spark") if not logins[name].ok] == []


@pytest.mark.sandbox
@pytest.mark.parametrize(("options", "told"), [((), "from SIP (all exchanges)"), (("--basic-plan",), "from IEX alone")])
def test_it_says_what_the_keys_plan_gives_of_stocks(
    fresh_settings: Settings, options: tuple[str, ...], told: str
) -> None:
    with running(None, True, *options) as url:
        keys = {"apca_api_data_url": url, "apca_api_key_id": SecretStr(KEY), "apca_api_secret_key": SecretStr(SECRET)}
        found = findings(fresh_settings.model_copy(update=keys))["alpaca"]
    assert found.ok, found
    assert told in found.found


@pytest.mark.sandbox
def test_a_feed_that_streams_more_than_the_plan_gives_is_named(
    fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = feeds()["us_equity"].model_copy(update={"alpaca_feed": "sip"})
    monkeypatch.setattr("crypto_platform.market.feed_spec.feeds", lambda: {"stocks": spec})
    with running(None, True, "--basic-plan") as url:
        keys = {"apca_api_data_url": url, "apca_api_key_id": SecretStr(KEY), "apca_api_secret_key": SecretStr(SECRET)}
        found = findings(fresh_settings.model_copy(update=keys))["alpaca"]
    assert "stocks would stream SIP" in found.found
    assert found.remediation == "set alpaca_feed: iex in stocks, or change the plan"
