"""Against the emulator: transactions, of which all or nothing stays, and rows that are bound or copied."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import Error

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import insert, rows, transaction
from crypto_platform.settings import Settings
from crypto_platform_tests import factories


class StoppedError(Exception):
    """What ends a block."""


def test_a_transaction_keeps_all_of_a_block_or_nothing(snowflake: Settings) -> None:
    table = f"RAW.{factories.feed_name().upper()}"
    with connect(snowflake) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW")
        cursor.execute(f"CREATE TABLE {table} (n INTEGER)")
        with transaction(cursor):
            cursor.execute(f"INSERT INTO {table} VALUES (1)")
            cursor.execute(f"INSERT INTO {table} VALUES (2)")
        with pytest.raises(StoppedError), transaction(cursor):
            cursor.execute(f"INSERT INTO {table} VALUES (3)")
            raise StoppedError
        with pytest.raises(Error), transaction(cursor):
            cursor.execute(f"INSERT INTO {table} VALUES (4)")
            cursor.execute(f"INSERT INTO {table} VALUES ('four')")
        assert rows(cursor, f"SELECT n FROM {table} ORDER BY n") == [(1,), (2,)]


def test_a_connection_that_is_gone_does_not_hide_what_stopped_the_block(snowflake: Settings) -> None:
    with connect(snowflake) as connection:
        cursor = connection.cursor()
        with pytest.raises(StoppedError), transaction(cursor):
            connection.close()
            raise StoppedError


COLUMNS = {"name": "VARCHAR", "day": "DATE", "moment": "TIMESTAMP_NTZ", "number": "NUMBER(38, 0)"}


@pytest.mark.parametrize("count", [0, 1, 2_000, 2_001])
def test_rows_are_added_as_they_are_however_many(snowflake: Settings, count: int) -> None:
    table = f"RAW.{factories.feed_name().upper()}"
    first = datetime.fromisoformat("2026-03-01T23:59:59.123456")
    expected = [
        (f"it's {n}, ü", (first + timedelta(days=n)).date(), first + timedelta(days=n), n) for n in range(count)
    ]
    with connect(snowflake) as connection:
        _create(connection.cursor(), table)
        insert(connection, table, COLUMNS, ((name, str(day), at.isoformat(), n) for name, day, at, n in expected))
        assert rows(connection.cursor(), f"SELECT * FROM {table} ORDER BY number") == expected


@pytest.mark.parametrize("count", [1, 3_000])
def test_rows_that_cannot_be_read_to_their_end_are_not_added(snowflake: Settings, count: int) -> None:
    table = f"RAW.{factories.feed_name().upper()}"

    def some() -> Iterator[tuple[str | int, ...]]:
        yield from [("a", str(date(2026, 3, 1)), "2026-03-01T00:00:00", n) for n in range(count)]
        raise StoppedError

    with connect(snowflake) as connection:
        _create(connection.cursor(), table)
        with pytest.raises(StoppedError):
            insert(connection, table, COLUMNS, some())
        assert rows(connection.cursor(), f"SELECT count(*) FROM {table}") == [(0,)]


def _create(cursor: SnowflakeCursor, table: str) -> None:
    cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW")
    cursor.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
