"""How far Snowflake has drained a topic: `RAW.<FEED>_OFFSETS`, moved only together with the data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.offsets_table import offsets_table
from crypto_platform.connectors.snowflake.statements import rows

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor


class ConcurrentLoadError(RuntimeError):
    """Another load moved the topic's offsets first; this one has written nothing."""


class DoubledOffsetsError(RuntimeError):
    """A partition has more than one row of offsets, which Snowflake's keys do not prevent."""


@dataclass(frozen=True)
class Recorded:
    """The topic id the offsets belong to (None before the first load), and the next offset per partition."""

    topic_id: str | None
    next_offsets: dict[int, int]


def recorded(connection: "SnowflakeConnection", feed: str, topic: str) -> Recorded:
    """What Snowflake has of the feed's `topic`."""
    found = rows(
        connection.cursor(),
        f"SELECT kafka_partition, topic_id, next_offset FROM {offsets_table(feed)} WHERE topic = %s",
        (topic,),
    )
    return Recorded(found[0][1] if found else None, {int(partition): int(offset) for partition, _, offset in found})


def enroll(connection: "SnowflakeConnection", feed: str, topic: str, topic_id: str, partitions: list[int]) -> None:
    """Give partitions that have no row yet one at offset 0. MERGE locks the table, so a row enters once."""
    for partition in partitions:
        connection.cursor().execute(
            f"MERGE INTO {offsets_table(feed)} o USING (SELECT %s AS topic, %s AS topic_id, %s AS kafka_partition) n "
            "ON o.topic = n.topic AND o.kafka_partition = n.kafka_partition WHEN NOT MATCHED THEN INSERT "
            "(topic, topic_id, kafka_partition, next_offset, updated_at) "
            "VALUES (n.topic, n.topic_id, n.kafka_partition, 0, SYSDATE())",
            (topic, topic_id, partition),
        )


def move(
    cursor: "SnowflakeCursor",
    feed: str,
    topic: str,
    topic_id: str,
    moves: dict[int, tuple[int, int]],
    new_id: str | None = None,
) -> None:
    """Move each partition from its first to its second offset in one statement, inside the caller's transaction.

    Raises:
        ConcurrentLoadError: a partition is no longer where it was; the caller rolls back.
        DoubledOffsetsError: a partition has more than one row; the caller rolls back.
    """
    if not moves:
        return
    ends = " ".join("WHEN %s THEN %s" for _ in moves)
    starts = " OR ".join("(kafka_partition = %s AND next_offset = %s)" for _ in moves)
    cursor.execute(
        f"UPDATE {offsets_table(feed)} SET next_offset = CASE kafka_partition {ends} END, topic_id = %s, "
        f"updated_at = SYSDATE() WHERE topic = %s AND topic_id = %s AND ({starts})",
        (
            *(value for partition, (_, end) in moves.items() for value in (partition, end)),
            *(new_id or topic_id, topic, topic_id),
            *(value for partition, (start, _) in moves.items() for value in (partition, start)),
        ),
    )
    if (cursor.rowcount or 0) > len(moves):
        raise DoubledOffsetsError(
            f"{offsets_table(feed)} has more than one row of a partition of {topic}: {cursor.rowcount} rows for "
            f"{len(moves)}. Nothing of this load was kept. Keep the row with the lowest next_offset of each "
            "partition and delete the others, as the role that owns the table; what is loaded again is unchanged"
        )
    if cursor.rowcount != len(moves):
        raise ConcurrentLoadError(
            f"of the partitions of {topic} only {cursor.rowcount} of {len(moves)} are still at the offsets "
            f"{ {partition: start for partition, (start, _) in sorted(moves.items())} }: another load took these "
            "messages. Nothing of this load was kept; load again for what is left"
        )
