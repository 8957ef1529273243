"""A database that 0.1.0 made opens with all that is in it."""

import threading
from collections.abc import Iterator

import pytest
from snowflake.connector import SnowflakeConnection

from crypto_platform.connectors.snowflake import migrations, schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.offsets_table import offsets_ddl, offsets_table
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox

OFFSETS = [
    ("crypto.bars", 0, 7),
    ("crypto.bars", 1, 8),
    ("us_equity.bars", 0, 9),
    ("us_equity.corporate_actions", 0, 1),
]
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
    "CREATE TABLE RAW.KAFKA_OFFSETS (topic VARCHAR NOT NULL, topic_id VARCHAR NOT NULL, kafka_partition NUMBER(38, 0) "
    "NOT NULL, next_offset NUMBER(38, 0) NOT NULL, updated_at TIMESTAMP_NTZ NOT NULL, PRIMARY KEY (topic, "
    "kafka_partition))",
    *(
        f"INSERT INTO RAW.KAFKA_OFFSETS VALUES ('market.{topic}', 'id', {partition}, {offset}, '2026-03-02 00:00:40')"
        for topic, partition, offset in OFFSETS
    ),
    "INSERT INTO INTERMEDIATE.INT_DAY_GAPS VALUES ('crypto', '2026-03-02 00:00:00')",
)
REQUESTED = (
    "SELECT symbol, partition_date::VARCHAR, complete_until::VARCHAR, record_count FROM RAW.REQUESTED_PARTITIONS"
)
LOADS = "SELECT start_offsets, end_offsets, message_count, offset_gaps FROM RAW.LOADS"


@pytest.fixture
def old(snowflake: Settings) -> Iterator[Settings]:
    settings = snowflake.model_copy(update={"snowflake_database": factories.feed_name().upper()})
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
        assert offsets_of(connection) == OFFSETS
        recorded = f"SELECT number FROM {migrations.VERSIONS} ORDER BY number"
        assert rows(connection.cursor(), recorded) == [(m.number,) for m in migrations.MIGRATIONS]


def offsets_of(connection: SnowflakeConnection) -> list[tuple[str, int, int]]:
    """What the feeds' tables have; the one of all is gone."""
    there = rows(
        connection.cursor(), "SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%OFFSETS'"
    )
    assert sorted(name for (name,) in there) == ["CRYPTO_OFFSETS", "US_EQUITY_OFFSETS"]
    found: list[tuple[str, int, int]] = []
    for feed in ("crypto", "us_equity"):
        held = f"SELECT topic, kafka_partition, next_offset FROM {offsets_table(feed)} ORDER BY 1, 2"
        found += [(topic.removeprefix("market."), *place) for topic, *place in rows(connection.cursor(), held)]
    return found


def test_offsets_that_moved_since_a_migration_was_cut_off_stay(old: Settings) -> None:
    with connect(old) as connection:
        connection.cursor().execute(offsets_ddl("crypto"))
        connection.cursor().execute(
            f"INSERT INTO {offsets_table('crypto')} SELECT topic, topic_id, kafka_partition, next_offset + 100, "
            "updated_at FROM RAW.KAFKA_OFFSETS WHERE topic = 'market.crypto.bars'"
        )
        schema.ensure_schema(connection, "us_equity")
        moved = [(topic, partition, offset + 100 * (topic == "crypto.bars")) for topic, partition, offset in OFFSETS]
        assert offsets_of(connection) == moved


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
