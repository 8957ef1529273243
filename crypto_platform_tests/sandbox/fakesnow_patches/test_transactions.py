"""What the emulator is given of Snowflake's transactions."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import snowflake.connector
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake.connection import connect, connection_args
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.fakesnow_patches.transactions import LOCKED
from crypto_platform.settings import Settings

pytestmark = pytest.mark.sandbox


@pytest.fixture
def emulator(fresh_settings: Settings) -> Iterator[Settings]:
    """An emulator of the test's own that takes a transaction for abandoned after half a second."""
    impatient = fresh_settings.model_copy(update={"sandbox_snowflake_idle_transaction_seconds": 0.5})
    with supervise.sandbox(impatient, {"snowflake"}) as effective, connect(effective) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW")
        cursor.execute("CREATE TABLE RAW.OFFSETS (n NUMBER(38, 0))")
        cursor.execute("INSERT INTO RAW.OFFSETS VALUES (0)")
        yield effective


def test_a_conflict_is_an_error_at_once_and_the_first_writer_wins(emulator: Settings) -> None:
    with connect(emulator) as first, connect(emulator) as second:
        first.cursor().execute("BEGIN")
        second.cursor().execute("BEGIN")
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        with pytest.raises(ProgrammingError) as error:
            second.cursor().execute("UPDATE RAW.OFFSETS SET n = 2")
        assert error.value.errno == LOCKED
        second.cursor().execute("ROLLBACK")
        first.cursor().execute("COMMIT")
        assert second.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(1,)]


def test_an_abandoned_transaction_is_aborted_once_another_session_works(emulator: Settings) -> None:
    with ExitStack() as stack:
        abandoned = snowflake.connector.connect(**connection_args(emulator))
        stack.callback(abandoned.close, retry=False)
        abandoned.cursor().execute("BEGIN")
        abandoned.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
        other = stack.enter_context(connect(emulator))
        attempts = 0
        while True:
            attempts += 1
            other.cursor().execute("BEGIN")
            try:
                other.cursor().execute("UPDATE RAW.OFFSETS SET n = 2")
                break
            except ProgrammingError:
                other.cursor().execute("ROLLBACK")
        other.cursor().execute("COMMIT")
        assert attempts > 1, "the abandoned transaction never held its lock"
        with pytest.raises(ProgrammingError, match="aborted"):
            abandoned.cursor().execute("INSERT INTO RAW.OFFSETS VALUES (3)")
        abandoned.cursor().execute("ROLLBACK")
        assert other.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(2,)]


def test_closing_a_session_rolls_its_transaction_back(emulator: Settings) -> None:
    with connect(emulator) as first:
        first.cursor().execute("BEGIN")
        first.cursor().execute("UPDATE RAW.OFFSETS SET n = 1")
    with connect(emulator) as second:
        second.cursor().execute("UPDATE RAW.OFFSETS SET n = n + 2")
        assert second.cursor().execute("SELECT n FROM RAW.OFFSETS").fetchall() == [(2,)]
