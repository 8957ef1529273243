"""The platform on the emulator as on an account: set up by its own command, then each service in its role alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from snowflake.connector.errors import ProgrammingError
from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.snowflake import account_checks
from crypto_platform.connectors.snowflake.account import Account
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.setup import apply, sections
from crypto_platform.ingestion import topic_load
from crypto_platform.market.bars import BARS
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import Settings
from crypto_platform_tests import factories
from crypto_platform_tests.cli.conftest import using as using
from crypto_platform_tests.dbt_project.warehouse import Warehouse

pytestmark = pytest.mark.slow
PREFIX = "ROLES_"


@dataclass(frozen=True)
class Roles:
    """The settings of each service, by its role without the prefix; `feed` is one that was set up too."""

    administrator: Settings
    services: dict[str, Settings]
    feed: str


@pytest.fixture(scope="module")
def database() -> str:
    return factories.feed_name().upper()


@pytest.fixture
def roles(sandbox: Settings, database: str, using: Callable[[Settings], Settings]) -> Roles:
    administrator = using(sandbox.model_copy(update={"snowflake_database": database}))
    answer = CliRunner().invoke(app, ["snowflake", "setup", "--apply", "--prefix", PREFIX])
    assert answer.exit_code == 0, answer.output
    feed = database.lower()
    account = Account(database=database, prefix=PREFIX)
    # As after a release with a new feed: the set-up once more.
    with connect(administrator) as connection:
        known = {name: spec.datasets for name, spec in feeds().items()}
        apply(connection, sections(account, known | {feed: (BARS,)}), lambda *_: None)
    logins = {
        service.role.removeprefix(PREFIX): {
            "snowflake_user": service.user,
            "snowflake_role": service.role,
            "snowflake_warehouse": service.warehouse,
        }
        for service in account.services
    }
    return Roles(administrator, {role: administrator.model_copy(update=login) for role, login in logins.items()}, feed)


def refused(settings: Settings, statement: str) -> str:
    with connect(settings) as connection, pytest.raises(ProgrammingError) as error:
        connection.cursor().execute(statement)
    assert error.value.errno in (2003, 3001), error.value
    return str(error.value.msg)


def test_each_service_does_its_work_in_its_role_and_nothing_else(roles: Roles, tmp_path: Path) -> None:
    """https://docs.snowflake.com/en/user-guide/security-access-control-overview"""
    loader, transformer, reader = (roles.services[role] for role in ("LOADER", "TRANSFORMER", "READER"))
    publish(loader, roles.feed, [factories.day({"BTC/USD": [factories.bar(0), factories.bar(1), b"poison"]})], "run")
    report = topic_load.load(loader, roles.feed, "run")
    assert (report.loaded, report.rejected) == (2, 1)
    with connect(loader) as connection:
        columns = ", ".join(factories.DATA_COLUMNS)
        more = "kafka_topic, kafka_partition, kafka_offset, load_id, loaded_at"
        connection.cursor().execute(
            f"INSERT INTO RAW.CRYPTO_BARS ({columns}, {more}) SELECT {columns}, {more} FROM {BARS.ledger(roles.feed)}"
        )

    Warehouse(transformer, tmp_path).build("fct_bars")

    with connect(reader) as connection:
        found = connection.cursor().execute("SELECT symbol, count(*) FROM MARTS.FCT_BARS GROUP BY symbol").fetchall()
    assert found == [("BTC/USD", 2)]

    assert "Insufficient privileges to operate on table" in refused(loader, "DELETE FROM RAW.CRYPTO_BARS")
    assert "Insufficient privileges to operate on table" in refused(loader, "DELETE FROM MARTS.FCT_BARS")
    assert "Insufficient privileges to operate on schema" in refused(loader, "CREATE TABLE RAW.MINE (n NUMBER)")
    assert "Insufficient privileges to operate on table" in refused(transformer, "DELETE FROM RAW.CRYPTO_BARS")
    assert "Insufficient privileges to operate on schema" in refused(transformer, "CREATE TABLE RAW.MINE (n NUMBER)")
    assert "Insufficient privileges to operate on table" in refused(reader, "DELETE FROM MARTS.FCT_BARS")
    assert "does not exist or not authorized" in refused(reader, "SELECT * FROM RAW.CRYPTO_BARS")
    assert "does not exist or not authorized" in refused(reader, "SELECT * FROM STAGING.STG_CRYPTO__BARS")


def test_a_feed_that_was_not_set_up_is_not_loaded(roles: Roles) -> None:
    feed, loader = factories.feed_name(), roles.services["LOADER"]
    publish(loader, feed, [factories.day({"BTC/USD": [factories.bar(0)]})], "run")
    with pytest.raises(ProgrammingError, match="Insufficient privileges to operate on schema 'RAW'"):
        topic_load.load(loader, feed, "run")


@pytest.mark.parametrize("service", ["LOADER", "TRANSFORMER", "READER"])
def test_after_the_set_up_doctor_finds_nothing_missing_and_a_revoked_grant_is_found(roles: Roles, service: str) -> None:
    settings, known = roles.services[service], {name: spec.datasets for name, spec in feeds().items()}
    with connect(settings) as connection:
        assert list(account_checks.lacks(connection, settings, service, known)) == []
    with connect(roles.administrator) as connection:
        connection.cursor().execute(
            f"REVOKE USAGE ON WAREHOUSE {settings.snowflake_warehouse} FROM ROLE {settings.snowflake_role}"
        )
    with connect(settings) as connection:
        lacks = list(account_checks.lacks(connection, settings, service, known))
    grant = f"GRANT USAGE ON WAREHOUSE {settings.snowflake_warehouse} TO ROLE {settings.snowflake_role};"
    assert grant in [lack.remediation for lack in lacks]
