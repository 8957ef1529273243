"""Transactions against the emulator: all of a block's statements, or none, and the error that stopped it."""

import pytest
from snowflake.connector.errors import Error

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows, transaction
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
