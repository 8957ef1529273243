"""What the emulator is given of Snowflake's transactions."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import duckdb
import pytest
import snowflake.connector
from fakesnow.instance import FakeSnow
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake.connection import connect, connection_args
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.fakesnow_patches.transactions import LOCKED
from crypto_platform.settings import Settings
from crypto_platform_tests.conftest import FREE_PORTS, SHARED

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An emulator where transactions are abandoned after half a second and locks are waited for for two."""
    settings = Settings(
        crypto_platform_home=tmp_path_factory.mktemp("impatient"),
        sandbox_snowflake_idle_transaction_seconds=0.5,
        sandbox_snowflake_lock_timeout_seconds=2.0,
        **SHARED,
        **FREE_PORTS,
    )
    with supervise.sandbox(settings, {"snowflake"}) as effective:
        yield effective


@pytest.fixture
def emulator(impatient: Settings) -> Settings:
    """The same with a table of one row, 0."""
    with connect(impatient) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW")
        cursor.execute("CREATE OR REPLACE TABLE RAW.OFFSETS (n NUMBER(38, 0))")
        cursor.execute("INSERT INTO RAW.OFFSETS VALUES (0)")
    return impatient


@pytest.mark.parametrize("begins", [["BEGIN"], []], ids=["in a transaction", "by itself"])
def test_a_statement_waits_for_a_lock_and_sees_what_its_holder_wrote(emulator: Settings, begins: list[str]) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#resource-locking, #read-committed-isolation"""
    with connect(emulator) as first, connect(emulator) as second, ThreadPoolExecutor() as pool:
        first.cursor().execute("BEGIN")
        for statement in begins:
            second.cursor().execute(statement)
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        waiting = pool.submit(second.cursor().execute, "UPDATE RAW.OFFSETS SET n = n + 10")
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        first.cursor().execute("COMMIT")
        waiting.result(20)
        second.cursor().execute("COMMIT")
        assert first.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(11,)]


def test_a_lock_is_waited_for_until_its_time_is_out(emulator: Settings) -> None:
    """LOCK_TIMEOUT: https://docs.snowflake.com/en/sql-reference/parameters#lock-timeout"""
    with connect(emulator) as first, connect(emulator) as second:
        first.cursor().execute("BEGIN")
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        # In use: not abandoned.
        with used(first), pytest.raises(ProgrammingError, match="holds the lock") as error:
            second.cursor().execute("UPDATE RAW.OFFSETS SET n = 2")
        assert error.value.errno == LOCKED


def test_a_transaction_that_has_done_something_is_refused_at_once(emulator: Settings) -> None:
    """Not Snowflake's: https://docs.snowflake.com/en/sql-reference/transactions#resource-locking has it wait."""
    with connect(emulator) as first, connect(emulator) as second:
        second.cursor().execute("BEGIN")
        second.cursor().execute("INSERT INTO RAW.OFFSETS VALUES (9)")
        first.cursor().execute("BEGIN")
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        with pytest.raises(ProgrammingError, match="holds the lock"):
            second.cursor().execute("UPDATE RAW.OFFSETS SET n = 2")
        second.cursor().execute("ROLLBACK")
        first.cursor().execute("COMMIT")
        assert second.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(1,)]


def test_a_change_of_a_definition_commits_what_is_open(emulator: Settings) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#ddl-statements"""
    with connect(emulator) as session, connect(emulator) as other:
        session.cursor().execute("BEGIN")
        session.cursor().execute("DELETE FROM RAW.OFFSETS")
        session.cursor().execute("CREATE TABLE RAW.LATER (n NUMBER(38, 0))")
        session.cursor().execute("ROLLBACK")
        assert other.cursor().execute("SELECT count(*) FROM RAW.OFFSETS").fetchall() == [(0,)]
        assert other.cursor().execute("SELECT count(*) FROM RAW.LATER").fetchall() == [(0,)]


def test_an_abandoned_transaction_is_aborted_once_it_is_in_the_way(emulator: Settings) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions"""
    with ExitStack() as stack:
        abandoned = snowflake.connector.connect(**connection_args(emulator))
        stack.callback(abandoned.close, retry=False)
        abandoned.cursor().execute("BEGIN")
        abandoned.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        other = stack.enter_context(connect(emulator))
        other.cursor().execute("UPDATE RAW.OFFSETS SET n = 2")
        with pytest.raises(ProgrammingError, match="aborted"):
            abandoned.cursor().execute("INSERT INTO RAW.OFFSETS VALUES (3)")
        abandoned.cursor().execute("ROLLBACK")
        assert other.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(2,)]


@contextmanager
def used(session: SnowflakeConnection) -> Iterator[None]:
    """Have the session execute something all the time."""
    ended = threading.Event()

    def use() -> None:
        while not ended.wait(0.1):
            session.cursor().execute("SELECT 1")

    with ThreadPoolExecutor() as pool:
        using = pool.submit(use)
        try:
            yield
        finally:
            ended.set()
            using.result(20)


def test_closing_a_session_rolls_its_transaction_back(emulator: Settings) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions"""
    with connect(emulator) as first:
        first.cursor().execute("BEGIN")
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
    with connect(emulator) as second:
        second.cursor().execute("UPDATE RAW.OFFSETS SET n = n + 2")
        assert second.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(2,)]


def test_plain_fakesnow_does_otherwise() -> None:
    """It does not wait for a lock, and takes a definition back."""
    instance = FakeSnow()
    first, second = (instance.connect("MARKET", "RAW").cursor() for _ in range(2))
    first.execute("CREATE TABLE OFFSETS (n NUMBER(38, 0))")
    first.execute("INSERT INTO OFFSETS VALUES (0)")
    for session in (first, second):
        session.execute("BEGIN")
    first.execute("UPDATE OFFSETS SET n = 1")
    with pytest.raises(duckdb.TransactionException):
        second.execute("UPDATE OFFSETS SET n = 2")
    first.execute("CREATE TABLE LATER (n NUMBER(38, 0))")
    first.execute("ROLLBACK")
    with pytest.raises(ProgrammingError):
        first.execute("SELECT * FROM LATER")
    assert first.execute("SELECT n FROM OFFSETS").fetchall() == [(0,)]
