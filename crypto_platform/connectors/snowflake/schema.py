"""The tables of schema RAW: their names and their DDL, made from the fields of the datasets."""

from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.migrations import migrate
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

SCHEMA = "RAW"
REJECTED = BARS.rejects
OFFSETS = "RAW.KAFKA_OFFSETS"
LOADS = "RAW.LOADS"
REPLAYS = "RAW.REPLAYS"
ASKED = "RAW.REQUESTED_PARTITIONS"
MEMBERS = "RAW.UNIVERSE_MEMBERS"

# Tables that all feeds and datasets write to.
_SHARED_DDL = (
    # What was refused by Kafka has no partition, and its number in the spool for an offset.
    f"CREATE TABLE IF NOT EXISTS {REPLAYS} (feed VARCHAR NOT NULL, origin VARCHAR NOT NULL, "
    "kafka_partition NUMBER(38, 0), kafka_offset NUMBER(38, 0) NOT NULL, run_id VARCHAR NOT NULL, "
    "replayed_at TIMESTAMP_NTZ NOT NULL)",
    # Snowflake does not enforce the key, the emulator does; the load counts the rows it moves either way.
    f"CREATE TABLE IF NOT EXISTS {OFFSETS} (topic VARCHAR NOT NULL, topic_id VARCHAR NOT NULL, "
    "kafka_partition NUMBER(38, 0) NOT NULL, next_offset NUMBER(38, 0) NOT NULL, "
    "updated_at TIMESTAMP_NTZ NOT NULL, PRIMARY KEY (topic, kafka_partition))",
    f"CREATE TABLE IF NOT EXISTS {LOADS} (load_id VARCHAR NOT NULL, feed VARCHAR NOT NULL, "
    "topic VARCHAR NOT NULL, topic_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, "
    "from_offsets VARCHAR NOT NULL, to_offsets VARCHAR NOT NULL, messages NUMBER(38, 0) NOT NULL, "
    "loaded NUMBER(38, 0) NOT NULL, unchanged NUMBER(38, 0) NOT NULL, rejected NUMBER(38, 0) NOT NULL, "
    "gaps NUMBER(38, 0) NOT NULL, note VARCHAR, "
    "started_at TIMESTAMP_NTZ NOT NULL, finished_at TIMESTAMP_NTZ NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {ASKED} (feed VARCHAR NOT NULL, symbol VARCHAR NOT NULL, "
    "timeframe VARCHAR NOT NULL, day DATE NOT NULL, complete_until TIMESTAMP_NTZ NOT NULL, "
    "bars NUMBER(38, 0) NOT NULL, run_id VARCHAR NOT NULL, recorded_at TIMESTAMP_NTZ NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {MEMBERS} (feed VARCHAR NOT NULL, day DATE NOT NULL, symbol VARCHAR NOT NULL, "
    "source VARCHAR NOT NULL, observed_at TIMESTAMP_NTZ NOT NULL)",
)


def ensure_schema(connection: "SnowflakeConnection", feed: str, *datasets: Dataset) -> None:
    """Create what loads of `feed` write to, where it does not exist; what an older release made is migrated.

    `datasets`: those of the feed that are loaded, bars where none is named.

    Each statement commits by itself, so this never runs inside a transaction.
    """
    cursor = connection.cursor()
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    migrate(connection)
    for statement in (*(s for d in datasets or (BARS,) for s in _ddl(feed, d)), *_SHARED_DDL):
        cursor.execute(statement)


def _ddl(feed: str, dataset: Dataset) -> tuple[str, ...]:
    columns = ", ".join(f"{f.column} {f.snowflake}{' NOT NULL' if f.required else ''}" for f in dataset.fields)
    return (
        f"CREATE TABLE IF NOT EXISTS {dataset.ledger(feed)} ({columns}, source VARCHAR NOT NULL, "
        "observed_at TIMESTAMP_NTZ NOT NULL, kafka_topic VARCHAR NOT NULL, "
        "kafka_partition NUMBER(38, 0) NOT NULL, kafka_offset NUMBER(38, 0) NOT NULL, "
        "load_id VARCHAR NOT NULL, loaded_at TIMESTAMP_NTZ NOT NULL)",
        f"CREATE TABLE IF NOT EXISTS {dataset.rejects} (feed VARCHAR NOT NULL, kafka_topic VARCHAR NOT NULL, "
        "kafka_partition NUMBER(38, 0) NOT NULL, kafka_offset NUMBER(38, 0) NOT NULL, reason VARCHAR NOT NULL, "
        "raw_key BINARY, raw_value BINARY, load_id VARCHAR NOT NULL, rejected_at TIMESTAMP_NTZ NOT NULL)",
    )
