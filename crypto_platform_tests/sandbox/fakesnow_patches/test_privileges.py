"""What a role may not do is refused in the emulator as Snowflake refuses it; plain fakesnow refuses none of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from types import ModuleType
from typing import Any

import pytest
from fakesnow import cursor
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import DatabaseError, ProgrammingError

from crypto_platform.sandbox.fakesnow_patches import privileges, statement_cache
from crypto_platform.sandbox.fakesnow_patches.roles import Account

Run = Callable[..., list[Any]]
SET_UP = """
USE ROLE USERADMIN; CREATE ROLE IF NOT EXISTS LOADER; CREATE ROLE IF NOT EXISTS READER;
GRANT ROLE LOADER TO ROLE SYSADMIN; CREATE USER IF NOT EXISTS SVC_LOADER TYPE = SERVICE;
ALTER USER SVC_LOADER SET DEFAULT_ROLE = LOADER DEFAULT_WAREHOUSE = LOADING; GRANT ROLE LOADER TO USER SVC_LOADER;
USE ROLE SYSADMIN; CREATE SCHEMA IF NOT EXISTS MARKET.RAW; CREATE SCHEMA IF NOT EXISTS MARKET.MARTS;
CREATE OR REPLACE TABLE RAW.BARS (n NUMBER); CREATE OR REPLACE TABLE RAW.OFFSETS (n NUMBER);
CREATE OR REPLACE TABLE MARTS.FACTS (n NUMBER);
CREATE STAGE IF NOT EXISTS RAW.LANDING URL = 's3://bucket/';
CREATE WAREHOUSE IF NOT EXISTS LOADING WAREHOUSE_SIZE = XSMALL;
USE ROLE SECURITYADMIN; GRANT USAGE ON DATABASE MARKET TO ROLE LOADER; GRANT USAGE ON SCHEMA MARKET.RAW TO ROLE LOADER;
GRANT USAGE ON WAREHOUSE LOADING TO ROLE LOADER; GRANT UPDATE ON TABLE MARKET.RAW.OFFSETS TO ROLE LOADER;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA MARKET.RAW TO ROLE LOADER;
GRANT SELECT, INSERT ON FUTURE TABLES IN SCHEMA MARKET.RAW TO ROLE LOADER
"""
DOCS = "https://docs.snowflake.com/en/"


@pytest.fixture(scope="module")
def instance() -> FakeSnow:
    """Databases and tables of all tests of the file; roles and grants are each test's own."""
    return FakeSnow()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The account's file as the first test's set-up left it."""
    return tmp_path_factory.mktemp("kept") / "account.json"


@pytest.fixture
def emulator(server: ModuleType, tmp_path: Path, instance: FakeSnow, kept: Path) -> Iterator[Callable[..., Run]]:
    """Log in as a user, in a role and with a warehouse; gives what runs statements in the session."""
    parser = statement_cache.install(server, cursor)
    if is_set_up := kept.exists():
        copyfile(kept, tmp_path / "account.json")
    control = privileges.install(cursor.FakeSnowflakeCursor, parser, Account(tmp_path / "account.json"))

    def login(user: str = "ADMIN", role: str | None = None, warehouse: str | None = None) -> Run:
        connection: Any = instance.connect("MARKET", "RAW")
        control.login(connection, user, role, warehouse)

        def run(*statements: str) -> list[Any]:
            session = connection.cursor()
            for statement in statements:
                session.execute(statement)
            found: list[Any] = session.fetchall()
            return found

        return run

    if not is_set_up:
        login()(*filter(None, map(str.strip, SET_UP.split(";"))))
        copyfile(tmp_path / "account.json", kept)
    yield login


@pytest.fixture
def loader(emulator: Callable[..., Run]) -> Run:
    return emulator("SVC_LOADER")


def refused(run: Run, statement: str) -> tuple[int, str]:
    with pytest.raises(ProgrammingError) as error:
        run(statement)
    assert error.value.errno is not None
    return error.value.errno, str(error.value.msg).splitlines()[-1]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM RAW.BARS",
        "WITH FACTS AS (SELECT n FROM RAW.BARS) SELECT * FROM FACTS",
        "INSERT INTO RAW.BARS SELECT n FROM RAW.OFFSETS",
        "UPDATE RAW.OFFSETS SET n = 1",
        "CREATE TEMPORARY TABLE scratch (n NUMBER)",
        "CREATE TEMPORARY STAGE IF NOT EXISTS RAW.MINE; LIST @RAW.MINE",
        "CREATE TEMPORARY TABLE IF NOT EXISTS RAW.OWN (n NUMBER); INSERT INTO RAW.OWN VALUES (1); DROP TABLE RAW.OWN",
        "SELECT table_name FROM information_schema.tables",
        "SHOW TABLES IN SCHEMA RAW",
        "SELECT 1",
        "BEGIN",
    ],
)
def test_what_was_granted_is_done(loader: Run, statement: str) -> None:
    loader(*statement.split("; "))


OBJECT, TABLE = "Object 'MARKET.RAW.{}' does not exist or not authorized.", "to operate on table '{}'"


@pytest.mark.parametrize(
    ("statement", "errno", "says"),
    [
        ("UPDATE RAW.BARS SET n = 1", 3001, TABLE.format("BARS")),
        ("DELETE FROM RAW.BARS", 3001, TABLE.format("BARS")),
        ("TRUNCATE TABLE RAW.BARS", 3001, TABLE.format("BARS")),
        ("DROP TABLE RAW.BARS", 3001, TABLE.format("BARS")),
        ("ALTER TABLE RAW.BARS ADD COLUMN m NUMBER", 3001, TABLE.format("BARS")),
        ("COMMENT ON TABLE RAW.BARS IS 'mine'", 3001, TABLE.format("BARS")),
        ("ALTER TABLE RAW.BARS ALTER n COMMENT $$mine$$", 3001, TABLE.format("BARS")),
        (
            "MERGE INTO RAW.BARS USING RAW.OFFSETS AS o ON BARS.n = o.n WHEN MATCHED THEN DELETE",
            3001,
            TABLE.format("BARS"),
        ),
        ("SELECT * FROM RAW.NOTHING", 2003, OBJECT.format("NOTHING")),
        ("SELECT * FROM MARTS.FACTS", 2003, "Schema 'MARKET.MARTS' does not exist or not authorized."),
        (
            "INSERT INTO RAW.BARS SELECT n FROM MARTS.FACTS",
            2003,
            "Schema 'MARKET.MARTS' does not exist or not authorized.",
        ),
        ("DESCRIBE SELECT * FROM RAW.NOTHING", 2003, OBJECT.format("NOTHING")),
        ("/* mine */ CREATE TABLE RAW.MINE AS SELECT n FROM RAW.NOTHING", 3001, "to operate on schema 'RAW'"),
        ("SELECT * FROM OTHER.RAW.BARS", 2003, "Database 'OTHER' does not exist or not authorized."),
        ("CREATE TABLE RAW.MINE (n NUMBER)", 3001, "to operate on schema 'RAW'"),
        ("CREATE TABLE IF NOT EXISTS RAW.BARS (n NUMBER)", 3001, "to operate on schema 'RAW'"),
        ("CREATE VIEW RAW.MINE AS SELECT 1 AS n", 3001, "to operate on schema 'RAW'"),
        ("CREATE STAGE RAW.MINE", 3001, "to operate on schema 'RAW'"),
        ("CREATE SCHEMA MINE", 3001, "to operate on database 'MARKET'"),
        ("CREATE DATABASE MINE", 3001, "to operate on account 'EMBEDDED'"),
        ("CREATE ROLE IF NOT EXISTS MINE", 3001, "to operate on account 'EMBEDDED'"),
        ("CREATE WAREHOUSE IF NOT EXISTS MINE WAREHOUSE_SIZE = XSMALL", 3001, "to operate on account 'EMBEDDED'"),
        ("LIST @RAW.LANDING", 2003, "Stage 'MARKET.RAW.LANDING' does not exist or not authorized."),
        (
            "COPY INTO RAW.BARS FROM @RAW.LANDING/x",
            2003,
            "Stage 'MARKET.RAW.LANDING' does not exist or not authorized.",
        ),
        ("GRANT UPDATE ON TABLE MARKET.RAW.BARS TO ROLE LOADER", 3001, TABLE.format("BARS")),
        ("GRANT ROLE READER TO USER SVC_LOADER", 3001, "to operate on role 'READER'"),
        (
            "USE ROLE SYSADMIN",
            3013,
            "Requested role 'SYSADMIN' is not assigned to the executing user. Specify another role to activate.",
        ),
        ("USE SCHEMA MARTS", 2043, "Object does not exist, or operation cannot be performed."),
        ("USE WAREHOUSE OTHER", 2043, "Object does not exist, or operation cannot be performed."),
    ],
)
def test_what_was_not_granted_is_refused(loader: Run, statement: str, errno: int, says: str) -> None:
    """https://docs.snowflake.com/en/user-guide/security-access-control-privileges"""
    found, message = refused(loader, statement)
    assert found == errno
    assert message.endswith(says), message


def test_without_a_warehouse_rows_are_not_read(emulator: Callable[..., Run]) -> None:
    """https://docs.snowflake.com/en/user-guide/warehouses-overview"""
    run = emulator("SVC_LOADER", warehouse="OTHER")
    assert run("SELECT CURRENT_ROLE(), CURRENT_WAREHOUSE()") == [("LOADER", None)]
    errno, message = refused(run, "SELECT * FROM RAW.BARS")
    assert errno == 606 and "No active warehouse selected" in message
    run("USE WAREHOUSE LOADING", "SELECT * FROM RAW.BARS")
    assert run("SELECT CURRENT_ROLE(), CURRENT_WAREHOUSE()") == [("LOADER", "LOADING")]


def test_a_login_takes_on_what_its_user_was_granted(emulator: Callable[..., Run]) -> None:
    with pytest.raises(DatabaseError, match="'READER' specified in the connect string is not granted") as error:
        emulator("svc_loader", "READER")
    assert error.value.errno == 390189
    assert emulator("somebody", "reader")("SELECT CURRENT_ROLE()") == [("READER",)]
    assert emulator("somebody")("SELECT CURRENT_ROLE()") == [("ACCOUNTADMIN",)]


def test_what_is_to_come_is_granted_and_what_is_replaced_is_not_kept(emulator: Callable[..., Run], loader: Run) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/grant-privilege, future grants; .../create-table, COPY GRANTS"""
    admin = emulator()
    admin("CREATE OR REPLACE TABLE RAW.LATER (n NUMBER)", "CREATE OR REPLACE VIEW RAW.CLOSES AS SELECT n FROM RAW.BARS")
    loader("INSERT INTO RAW.LATER VALUES (1)")
    assert refused(loader, "SELECT * FROM RAW.CLOSES")[0] == 2003
    admin("CREATE OR REPLACE TABLE RAW.OFFSETS (n NUMBER)")
    loader("SELECT * FROM RAW.OFFSETS")
    assert refused(loader, "UPDATE RAW.OFFSETS SET n = 1")[0] == 3001
    admin("DROP TABLE RAW.LATER", "DROP VIEW RAW.CLOSES")


def test_an_owner_may_do_everything_and_who_has_its_role_too(emulator: Callable[..., Run], loader: Run) -> None:
    """https://docs.snowflake.com/en/user-guide/security-access-control-overview#role-hierarchy-and-privilege-inheritance"""
    emulator()("GRANT CREATE TABLE ON SCHEMA MARKET.RAW TO ROLE LOADER")
    loader("CREATE OR REPLACE TABLE RAW.MINE AS SELECT n FROM RAW.BARS", "DELETE FROM RAW.MINE")
    loader("COMMENT ON TABLE RAW.MINE IS $$it's mine$$", "ALTER TABLE RAW.MINE ALTER n COMMENT $$it's one$$")
    loader("ALTER TABLE RAW.MINE RENAME TO RAW.OWN", "UPDATE RAW.OWN SET n = 1")
    emulator("somebody", "SYSADMIN", "LOADING")("DELETE FROM RAW.OWN", "DROP TABLE RAW.OWN")
    assert refused(loader, "SELECT * FROM RAW.OWN")[0] == 2003


def test_a_grant_is_shown_and_taken_back(emulator: Callable[..., Run], loader: Run) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    admin = emulator()
    assert ("UPDATE", "TABLE", "MARKET.RAW.OFFSETS", "ROLE", "LOADER") in loader("SHOW GRANTS TO ROLE LOADER")
    assert ("INSERT", "TABLE", "MARKET.RAW.<TABLE>", "ROLE", "LOADER") in loader("SHOW FUTURE GRANTS TO ROLE LOADER")
    assert loader("SHOW FUTURE GRANTS TO ROLE READER") == []
    admin("REVOKE UPDATE ON TABLE MARKET.RAW.OFFSETS FROM ROLE LOADER")
    assert refused(loader, "UPDATE RAW.OFFSETS SET n = 1")[0] == 3001


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("GRANT SELECT ON TABLE MARKET.RAW.NOTHING TO ROLE LOADER", "Table 'MARKET.RAW.NOTHING' does not exist"),
        ("GRANT SELECT ON TABLE MARKET.RAW.BARS TO ROLE NOBODY", "Role 'NOBODY' does not exist"),
        ("GRANT ROLE LOADER TO USER NOBODY", "User 'NOBODY' does not exist"),
        ("GRANT ROLE NOBODY TO ROLE SYSADMIN", "Role 'NOBODY' does not exist"),
    ],
)
def test_what_is_not_there_is_granted_to_nobody(emulator: Callable[..., Run], statement: str, says: str) -> None:
    errno, message = refused(emulator(), statement)
    assert errno == 2003 and message.startswith(says)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("USERADMIN", "CREATE DATABASE MINE"),
        ("SYSADMIN", "CREATE ROLE IF NOT EXISTS MINE"),
        ("SYSADMIN", "GRANT USAGE ON SCHEMA MARKET.RAW TO ROLE READER; GRANT ROLE READER TO ROLE LOADER"),
        ("SECURITYADMIN", "CREATE WAREHOUSE IF NOT EXISTS MINE WAREHOUSE_SIZE = XSMALL"),
        ("SECURITYADMIN", "ALTER WAREHOUSE LOADING SET AUTO_SUSPEND = 60"),
        ("SYSADMIN", "ALTER WAREHOUSE LOADING SET RESOURCE_MONITOR = MINE"),
        ("SYSADMIN", "GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE READER"),
        ("SYSADMIN", "CREATE STORAGE INTEGRATION IF NOT EXISTS MINE TYPE = EXTERNAL_STAGE ENABLED = TRUE"),
    ],
)
def test_the_account_s_own_roles_have_their_limits(emulator: Callable[..., Run], role: str, statement: str) -> None:
    """https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles"""
    run = emulator()
    run(f"USE ROLE {role}")
    *allowed, last = statement.split("; ")
    for one in allowed:
        run(one)
    assert refused(run, last)[0] == 3001


def test_it_is_kept_when_the_emulator_restarts(emulator: Callable[..., Run], tmp_path: Path) -> None:
    again = Account(tmp_path / "account.json")
    assert again.may("LOADER", "UPDATE", "TABLE", "MARKET.RAW.OFFSETS")
    assert not again.may("READER", "UPDATE", "TABLE", "MARKET.RAW.OFFSETS")
    assert again.defaults("SVC_LOADER") == ("LOADER", "LOADING")


def test_plain_fakesnow_refuses_none_of_it(instance: FakeSnow) -> None:
    run: Any = instance.connect("PLAIN", "RAW").cursor().execute
    for statement in (
        "USE ROLE READER",
        "CREATE TABLE RAW.BARS (n NUMBER)",
        "INSERT INTO RAW.BARS VALUES (1)",
        "DELETE FROM RAW.BARS",
        "DROP TABLE RAW.BARS",
    ):
        run(statement)
