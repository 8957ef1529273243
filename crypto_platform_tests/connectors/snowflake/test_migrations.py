"""A database that 0.1.0 made opens with all that is in it."""

import threading
from collections.abc import Iterator

import pytest

from crypto_platform.connectors.snowflake import migrations, schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings
from crypto_platform_tests import made

pytestmark = pytest.mark.sandbox

# As 0.1.0 made them.
OLD = (
    "CREATE SCHEMA IF NOT EXISTS RAW",
    "CREATE SCHEMA IF NOT EXISTS INTERMEDIATE",
    "CREATE TABLE RAW.ASKED_DAYS (feed VARCHAR NOT NULL, symbol VARCHAR NOT NULL, timeframe VARCHAR NOT NULL, "
    "day DATE NOT NULL, asked_until TIMESTAMP_NTZ NOT NULL, bars NUMBER(38, 0) NOT NULL, run_id VARCHAR NOT NULL, "
    "recorded_at TIMESTAMP_NTZ NOT NULL)",
    "CREATE TABLE INTERMEDIATE.INT_DAY_GAPS (feed VARCHAR, asked_until TIMESTAMP_NTZ)",
    "CREATE TABLE RAW.LOADS (load_id VARCHAR NOT NULL, feed VARCHAR NOT NULL, topic VARCHAR NOT NULL, "
    "topic_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, from_offsets VARCHAR NOT NULL, to_offsets VARCHAR NOT NULL, "
    "messages NUMBER(38, 0) NOT NULL, loaded NUMBER(38, 0) NOT NULL, unchanged NUMBER(38, 0) NOT NULL, "
    "rejected NUMBER(38, 0) NOT NULL, gaps NUMBER(38, 0) NOT NULL, note VARCHAR, "
    "started_at TIMESTAMP_NTZ NOT NULL, finished_at TIMESTAMP_NTZ NOT NULL)",
    "INSERT INTO RAW.LOADS VALUES ('load', 'crypto', 'topic', 'id', 'run', '{\"0\": 0}', '{\"0\": 7}', 6, 5, 1, 0, 1, "
    "NULL, '2026-03-02 00:00:30', '2026-03-02 00:00:40')",
    "INSERT INTO RAW.ASKED_DAYS VALUES ('crypto', 'BTC/USD', '1Min', '2026-03-01', '2026-03-02 00:00:00', 1440, 'run', "
    "'2026-03-02 00:01:00')",
    "INSERT INTO INTERMEDIATE.INT_DAY_GAPS VALUES ('crypto', '2026-03-02 00:00:00')",
)
REQUESTED = (
    "SELECT symbol, partition_date::VARCHAR, complete_until::VARCHAR, record_count FROM RAW.REQUESTED_PARTITIONS"
)
LOADS = "SELECT start_offsets, end_offsets, message_count, offset_gaps FROM RAW.LOADS"


@pytest.fixture
def old(snowflake: Settings) -> Iterator[Settings]:
    settings = snowflake.model_copy(update={"snowflake_database": made.feed_name().upper()})
    with connect(settings) as connection:
        for statement in OLD:
            connection.cursor().execute(statement)
    yield settings


def test_a_database_of_the_release_before_keeps_what_it_holds(old: Settings) -> None:
    with connect(old) as connection:
        for _ in range(2):
            schema.ensure_schema(connection, "crypto")
            assert [row[:2] + row[3:] for row in rows(connection.cursor(), REQUESTED)] == [
                ("BTC/USD", "2026-03-01", 1440)
            ]
        assert rows(connection.cursor(), LOADS) == [('{"0": 0}', '{"0": 7}', 6, 1)]
        assert rows(connection.cursor(), "SELECT count(complete_until) FROM INTERMEDIATE.INT_DAY_GAPS") == [(1,)]
        recorded = f"SELECT number FROM {migrations.VERSIONS} ORDER BY number"
        assert rows(connection.cursor(), recorded) == [(m.number,) for m in migrations.MIGRATIONS]


def test_what_was_cut_off_goes_on(old: Settings) -> None:
    with connect(old) as connection:
        connection.cursor().execute("ALTER TABLE RAW.ASKED_DAYS RENAME TO RAW.REQUESTED_PARTITIONS")
        schema.ensure_schema(connection, "crypto")
        assert len(rows(connection.cursor(), REQUESTED)) == 1


def test_processes_that_start_at_once_migrate_once_between_them(old: Settings) -> None:
    problems: list[Exception] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        try:
            with connect(old) as connection:
                barrier.wait(30)
                schema.ensure_schema(connection, "crypto")
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    with connect(old) as connection:
        assert len(rows(connection.cursor(), REQUESTED)) == 1
