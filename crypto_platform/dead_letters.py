"""Messages that were refused: by the load, which keeps them in RAW.REJECTED_BARS, or by Kafka, kept in the spool.

A replay publishes a message once more, through the front door: what was wrong with it is judged anew. It is recorded in
RAW.REPLAYS; the refused message stays where it is.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from crypto_platform import bars
from crypto_platform.kafka.admin import TopicError, topic_state
from crypto_platform.kafka.producer import Outgoing, message_headers, send
from crypto_platform.kafka.reader import messages_at
from crypto_platform.settings import Settings
from crypto_platform.snowflake.connection import connect
from crypto_platform.snowflake.schema import REJECTED, REPLAYS, ensure_schema
from crypto_platform.snowflake.statements import rows
from crypto_platform.stream.service import open_spool

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Origin = Literal["load", "kafka"]


@dataclass(frozen=True)
class DeadLetter:
    """A refused message: where it lies (`partition` and `offset` on its topic, or its number in the spool), and why.

    `refused_at` and `replayed_at` (None: never) are UTC.
    """

    feed: str
    origin: Origin
    partition: int | None
    offset: int
    reason: str
    key: bytes
    value: bytes
    refused_at: datetime
    replayed_at: datetime | None


def find(
    settings: Settings, feeds: Iterable[str], reason: str = "", replayed: bool = False, limit: int = 100_000
) -> list[DeadLetter]:
    """The refused messages of `feeds`, the oldest first, at most `limit`; `reason` is a part of theirs.

    With `replayed`, those that were replayed already as well.
    """
    found: list[DeadLetter] = []
    with connect(settings) as connection:
        for feed in feeds:
            ensure_schema(connection, feed)
            found += _of_loads(connection, feed)
            found += _of_kafka(settings, connection, feed)
    chosen = [f for f in found if reason.lower() in f.reason.lower() and (replayed or f.replayed_at is None)]
    return sorted(chosen, key=lambda f: (f.refused_at, f.partition or 0, f.offset))[:limit]


def replay(settings: Settings, letters: Sequence[DeadLetter]) -> str:
    """Publish the messages again, with the headers they came with where the topic still has them; returns the run's id.

    Where it has not, a message counts as REST's, observed when it was refused.

    Raises:
        crypto_platform.kafka.producer.PublishError: not every message is known to be in the topic; nothing is recorded.
    """
    run_id = f"replay-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    by_feed: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        by_feed[letter.feed].append(letter)
    for feed, chosen in by_feed.items():
        send(settings, feed, _outgoing(settings, feed, chosen, run_id))
        with connect(settings) as connection:
            ensure_schema(connection, feed)
            for letter in chosen:
                connection.cursor().execute(
                    f"INSERT INTO {REPLAYS} (feed, origin, kafka_partition, kafka_offset, run_id, replayed_at) "
                    "SELECT %s, %s, %s, %s, %s, SYSDATE()",
                    (feed, letter.origin, letter.partition, letter.offset, run_id),
                )
    return run_id


def _outgoing(settings: Settings, feed: str, letters: Sequence[DeadLetter], run_id: str) -> list[Outgoing]:
    places: dict[int, list[int]] = defaultdict(list)
    for letter in letters:
        if letter.partition is not None:
            places[letter.partition].append(letter.offset)
    try:
        earliest = topic_state(settings, feed).earliest
    except TopicError:
        earliest = {}
    there = {p: [o for o in offsets if o >= earliest.get(p, o + 1)] for p, offsets in places.items()}
    originals = messages_at(settings, bars.topic(feed), there)
    spool = {}
    if any(letter.origin == "kafka" for letter in letters):
        opened = open_spool(settings)
        spool = {refused.number: refused.message for refused in opened.refused()}
        opened.close()
    outgoing = []
    for letter in letters:
        message = spool.get(letter.offset) if letter.origin == "kafka" else None
        original = originals.get((letter.partition, letter.offset)) if letter.partition is not None else None
        if original is not None:
            # The run is another one now; all else is as it came.
            headers = [
                (name, run_id.encode() if name == bars.HEADER_RUN_ID else value) for name, value in original.headers
            ]
        elif message is not None:
            headers = message_headers(message.source, run_id, message.observed_at)
        else:
            headers = message_headers("rest", run_id, letter.refused_at)
        outgoing.append(Outgoing(letter.key, letter.value, headers))
    return outgoing


def _of_loads(connection: "SnowflakeConnection", feed: str) -> list[DeadLetter]:
    found = rows(
        connection.cursor(),
        "SELECT r.kafka_partition, r.kafka_offset, r.reason, r.raw_key, r.raw_value, r.rejected_at, "
        f"max(p.replayed_at) FROM {REJECTED} r LEFT JOIN {REPLAYS} p ON p.feed = r.feed AND p.origin = 'load' "
        "AND p.kafka_partition = r.kafka_partition AND p.kafka_offset = r.kafka_offset WHERE r.feed = %s "
        "GROUP BY 1, 2, 3, 4, 5, 6",
        (feed,),
    )
    return [
        DeadLetter(
            feed, "load", int(p), int(o), str(why), bytes(key or b""), bytes(value or b""), _utc(at), at2 and _utc(at2)
        )
        for p, o, why, key, value, at, at2 in found
    ]


def _of_kafka(settings: Settings, connection: "SnowflakeConnection", feed: str) -> list[DeadLetter]:
    spool = open_spool(settings)
    try:
        refused = [r for r in spool.refused() if r.message.feed == feed]
    finally:
        spool.close()
    if not refused:
        return []
    replayed = {
        int(number): _utc(at)
        for number, at in rows(
            connection.cursor(),
            f"SELECT kafka_offset, max(replayed_at) FROM {REPLAYS} WHERE feed = %s AND origin = 'kafka' GROUP BY 1",
            (feed,),
        )
    }
    return [
        DeadLetter(
            feed,
            "kafka",
            None,
            r.number,
            r.reason,
            r.message.symbol.encode(),
            r.message.value,
            r.refused_at,
            replayed.get(r.number),
        )
        for r in refused
    ]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
