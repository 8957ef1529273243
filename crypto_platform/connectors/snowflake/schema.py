"""The tables of schema RAW: their names and their DDL, made from the fields of the datasets."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.migrations import VERSIONS, VERSIONS_DDL, migrate
from crypto_platform.connectors.snowflake.offsets_table import offsets_ddl, offsets_table
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

SCHEMA = "RAW"
REJECTED = BARS.rejects
LOADS = "RAW.LOADS"
REPLAYS = "RAW.REPLAYS"
REQUESTED_PARTITIONS = "RAW.REQUESTED_PARTITIONS"
MEMBERS = "RAW.UNIVERSE_MEMBERS"

# Tables that all feeds and datasets write to.
_SHARED_DDL = {
    # What was refused by Kafka has no partition, and its number in the spool for an offset.
    REPLAYS: f"CREATE TABLE IF NOT EXISTS {REPLAYS} (feed VARCHAR NOT NULL, origin VARCHAR NOT NULL, "
    "kafka_partition NUMBER(38, 0), kafka_offset NUMBER(38, 0) NOT NULL, run_id VARCHAR NOT NULL, "
    "replayed_at TIMESTAMP_NTZ NOT NULL)",
    LOADS: f"CREATE TABLE IF NOT EXISTS {LOADS} (load_id VARCHAR NOT NULL, feed VARCHAR NOT NULL, "
    "topic VARCHAR NOT NULL, topic_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, "
    "start_offsets VARCHAR NOT NULL, end_offsets VARCHAR NOT NULL, message_count NUMBER(38, 0) NOT NULL, "
    "loaded NUMBER(38, 0) NOT NULL, unchanged NUMBER(38, 0) NOT NULL, rejected NUMBER(38, 0) NOT NULL, "
    "offset_gaps NUMBER(38, 0) NOT NULL, note VARCHAR, origin VARCHAR, "
    "started_at TIMESTAMP_NTZ NOT NULL, finished_at TIMESTAMP_NTZ NOT NULL)",
    REQUESTED_PARTITIONS: f"CREATE TABLE IF NOT EXISTS {REQUESTED_PARTITIONS} (feed VARCHAR NOT NULL, "
    "symbol VARCHAR NOT NULL, timeframe VARCHAR NOT NULL, partition_date DATE NOT NULL, "
    "complete_until TIMESTAMP_NTZ NOT NULL, record_count NUMBER(38, 0) NOT NULL, run_id VARCHAR NOT NULL, "
    "recorded_at TIMESTAMP_NTZ NOT NULL)",
    MEMBERS: f"CREATE TABLE IF NOT EXISTS {MEMBERS} (feed VARCHAR NOT NULL, day DATE NOT NULL, "
    "symbol VARCHAR NOT NULL, source VARCHAR NOT NULL, observed_at TIMESTAMP_NTZ NOT NULL)",
}

# The databases that this process has found or made to be of this release: host, port and name.
_migrated: set[tuple[str | None, int, str | None]] = set()


def ensure_schema(connection: "SnowflakeConnection", feed: str, *datasets: Dataset) -> None:
    """Create what loads of `feed` write to, where it does not exist; what an older release made is migrated.

    `datasets`: those of the feed that are loaded, bars where none is named.

    Migrations are looked for once a process and database.

    Of what is there already no statement is sent: Snowflake asks for the privilege to create also where IF NOT EXISTS
    has nothing to do. Each statement commits by itself, so this never runs inside a transaction.
    """
    cursor = connection.cursor()
    found = rows(cursor, "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (SCHEMA,))
    held = {f"{SCHEMA}.{name}" for (name,) in found}
    database = (connection.host, connection.port, connection.database)
    if VERSIONS not in held:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        cursor.execute(VERSIONS_DDL)
        _migrated.discard(database)
    if database not in _migrated:
        migrate(connection)
        _migrated.add(database)
    for table, statement in tables({feed: datasets or (BARS,)}).items():
        if table not in held:
            cursor.execute(statement)


def tables(feeds: Mapping[str, Iterable[Dataset]]) -> dict[str, str]:
    """The DDL of every table of RAW by its name, for these datasets of these feeds."""
    own = {table: ddl for feed, datasets in feeds.items() for d in datasets for table, ddl in _ddl(feed, d).items()}
    offsets = {offsets_table(feed): offsets_ddl(feed) for feed in feeds}
    return {VERSIONS: VERSIONS_DDL} | own | offsets | _SHARED_DDL


def _ddl(feed: str, dataset: Dataset) -> dict[str, str]:
    columns = ", ".join(f"{f.column} {f.snowflake}{' NOT NULL' if f.required else ''}" for f in dataset.fields)
    ledger, rejects = dataset.ledger(feed), dataset.rejects
    return {
        ledger: f"CREATE TABLE IF NOT EXISTS {ledger} ({columns}, source VARCHAR NOT NULL, "
        "observed_at TIMESTAMP_NTZ NOT NULL, kafka_topic VARCHAR NOT NULL, "
        "kafka_partition NUMBER(38, 0) NOT NULL, kafka_offset NUMBER(38, 0) NOT NULL, "
        "load_id VARCHAR NOT NULL, loaded_at TIMESTAMP_NTZ NOT NULL)",
        rejects: f"CREATE TABLE IF NOT EXISTS {rejects} (feed VARCHAR NOT NULL, kafka_topic VARCHAR NOT NULL, "
        "kafka_partition NUMBER(38, 0) NOT NULL, kafka_offset NUMBER(38, 0) NOT NULL, reason VARCHAR NOT NULL, "
        "raw_key BINARY, raw_value BINARY, load_id VARCHAR NOT NULL, rejected_at TIMESTAMP_NTZ NOT NULL)",
    }
