"""Messages that were refused: by the load, which keeps them in RAW.REJECTED_BARS, or by Kafka, kept in the spool.

A replay publishes a message once more, through the front door: what was wrong with it is judged anew. It is recorded in
RAW.REPLAYS; the refused message stays where it is.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from crypto_platform.connectors.kafka.admin import topic_state
from crypto_platform.connectors.kafka.producer import Headers, Outgoing, message_headers, send
from crypto_platform.connectors.kafka.reader import Placed, messages_at
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.schema import REJECTED, REPLAYS, ensure_schema
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.market import bars, dataset
from crypto_platform.market.dataset import Dataset
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Origin = Literal["load", "kafka"]
# Messages that are held together, and rows of one statement.
AT_ONCE = 10_000
_ROWS = 1_000

# A feed's messages that loads refused, with their last replay; one from before a refusal was of another message, at the
# same place of a topic that was deleted since. Bound: the feed twice, a part of the reason, whether also the replayed.
_CHOSEN = f"""
SELECT r.*, p.replayed_at FROM {REJECTED} r
LEFT JOIN (
    SELECT kafka_partition, kafka_offset, max(replayed_at) AS replayed_at FROM {REPLAYS}
    WHERE feed = %s AND origin = 'load' GROUP BY kafka_partition, kafka_offset
) p ON p.kafka_partition = r.kafka_partition AND p.kafka_offset = r.kafka_offset AND p.replayed_at >= r.rejected_at
WHERE r.feed = %s AND contains(lower(r.reason), lower(%s)) AND (%s OR p.replayed_at IS NULL)
"""


class VersionNotKnownError(RuntimeError):
    """A message of another schema version is no longer in the topic, which alone says which; nothing was published."""


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
    dataset: Dataset = bars.BARS


@dataclass(frozen=True)
class Kind:
    """How many messages of a feed were refused for one reason, by the load or by Kafka, and between when (UTC)."""

    feed: str
    origin: Origin
    reason: str
    letters: int
    first_at: datetime
    last_at: datetime


def count(settings: Settings, feeds: Iterable[str], reason: str = "", replayed: bool = False) -> list[Kind]:
    """What `find` finds without a limit, counted by feed, origin and reason, in their order."""
    found: list[Kind] = []
    with connect(settings) as connection:
        for feed in feeds:
            ensure_schema(connection, feed)
            counted = rows(
                connection.cursor(),
                f"SELECT reason, count(*), min(rejected_at), max(rejected_at) FROM ({_CHOSEN}) GROUP BY reason",
                (feed, feed, reason, replayed),
            )
            found += [Kind(feed, "load", str(why), int(n), _utc(first), _utc(last)) for why, n, first, last in counted]
            by_reason: dict[str, list[DeadLetter]] = defaultdict(list)
            for letter in _of_kafka(settings, connection, feed, reason, replayed):
                by_reason[letter.reason].append(letter)
            for why, letters in by_reason.items():
                at = [letter.refused_at for letter in letters]
                found.append(Kind(feed, "kafka", why, len(letters), min(at), max(at)))
    return sorted(found, key=lambda kind: (kind.feed, kind.origin, kind.reason))


def find(
    settings: Settings, feeds: Iterable[str], reason: str = "", replayed: bool = False, limit: int = AT_ONCE
) -> list[DeadLetter]:
    """The refused messages of `feeds`, the oldest first, at most `limit`; `reason` is a part of theirs.

    With `replayed`, those that were replayed already as well.
    """
    found: list[DeadLetter] = []
    with connect(settings) as connection:
        for feed in feeds:
            ensure_schema(connection, feed)
            found += _of_loads(connection, feed, reason, replayed, limit)
            found += _of_kafka(settings, connection, feed, reason, replayed)
    return sorted(found, key=lambda f: (f.refused_at, f.partition or 0, f.offset))[:limit]


def replay(settings: Settings, letters: Sequence[DeadLetter]) -> str:
    """Publish the messages again, with the headers they came with where the topic still has them; returns the run's id.

    Where it has not, a message counts as REST's, observed when it was refused.

    Raises:
        VersionNotKnownError: one was refused for its schema version, and the topic has it no longer.
        crypto_platform.connectors.kafka.admin.TopicError: the topic is gone, or Kafka does not answer; nothing was
            published.
        crypto_platform.connectors.kafka.producer.PublishError: not every message is known to be in the topic; nothing
            is recorded.
    """
    run_id = f"replay-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    by_topic: dict[tuple[str, Dataset], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        by_topic[letter.feed, letter.dataset].append(letter)
    outgoing = {topic: _outgoing(settings, topic[0], chosen, run_id) for topic, chosen in by_topic.items()}
    for (feed, kind), chosen in by_topic.items():
        send(settings, feed, outgoing[feed, kind], kind)
        with connect(settings) as connection:
            ensure_schema(connection, feed)
            for first in range(0, len(chosen), _ROWS):
                # Sent as one statement of so many rows.
                connection.cursor().executemany(
                    f"INSERT INTO {REPLAYS} (feed, origin, kafka_partition, kafka_offset, run_id, replayed_at) "
                    "VALUES (%s, %s, %s, %s, %s, SYSDATE())",
                    [(feed, c.origin, c.partition, c.offset, run_id) for c in chosen[first : first + _ROWS]],
                )
    return run_id


def _outgoing(settings: Settings, feed: str, letters: Sequence[DeadLetter], run_id: str) -> list[Outgoing]:
    in_topic = _in_topic(settings, feed, [letter for letter in letters if letter.origin == "load"])
    in_spool = _in_spool(settings) if any(letter.origin == "kafka" for letter in letters) else {}
    return [
        Outgoing(letter.key, letter.value, _headers(letter, run_id, in_topic, in_spool.get(letter.offset)))
        for letter in letters
    ]


def _in_topic(settings: Settings, feed: str, letters: Sequence[DeadLetter]) -> dict[tuple[int, int], Placed]:
    """The messages at the letters' places, by partition and offset, as far as the topic still has them."""
    if not letters:
        return {}
    state = topic_state(settings, feed)
    places: dict[int, list[int]] = defaultdict(list)
    for letter in letters:
        at = letter.partition
        if at is not None and state.earliest.get(at, 0) <= letter.offset < state.end.get(at, 0):
            places[at].append(letter.offset)
    return messages_at(settings, bars.BARS.topic(feed), places)


def _in_spool(settings: Settings) -> dict[int, Message]:
    """What the brokers refused of the stream, by its number."""
    spool = Spool.open(settings)
    try:
        return {refused.number: refused.message for refused in spool.refused()}
    finally:
        spool.close()


def _headers(
    letter: DeadLetter, run_id: str, in_topic: Mapping[tuple[int, int], Placed], spooled: Message | None
) -> Headers:
    """Those that it came with, but for the run; of what is gone those of a bar by REST."""
    if letter.origin == "kafka":
        source = (spooled.source, spooled.observed_at) if spooled else ("rest", letter.refused_at)
        return message_headers(source[0], run_id, source[1])
    original = None if letter.partition is None else in_topic.get((letter.partition, letter.offset))
    # At its place may lie another by now, of a topic that was created anew.
    if original is None or (original.key, original.value) != (letter.key, letter.value):
        if letter.reason == dataset.UNKNOWN_VERSION:
            raise VersionNotKnownError(
                f"{letter.feed}: the message that was at {letter.partition}:{letter.offset} was refused for its schema "
                "version, and the topic, which had it, no longer has the message: it cannot be told what it says. "
                f"Nothing was published. `crypto-platform republish --feed {letter.feed}` loads its day from the lake"
            )
        return message_headers("rest", run_id, letter.refused_at)
    return [(name, run_id.encode() if name == dataset.HEADER_RUN_ID else value) for name, value in original.headers]


def _of_loads(
    connection: "SnowflakeConnection", feed: str, reason: str, replayed: bool, limit: int
) -> list[DeadLetter]:
    found = rows(
        connection.cursor(),
        "SELECT kafka_partition, kafka_offset, reason, raw_key, raw_value, rejected_at, replayed_at "
        f"FROM ({_CHOSEN}) ORDER BY rejected_at, kafka_partition, kafka_offset LIMIT %s",
        (feed, feed, reason, replayed, limit),
    )
    return [
        DeadLetter(
            feed, "load", int(p), int(o), str(why), bytes(key or b""), bytes(value or b""), _utc(at), at2 and _utc(at2)
        )
        for p, o, why, key, value, at, at2 in found
    ]


def _of_kafka(
    settings: Settings, connection: "SnowflakeConnection", feed: str, reason: str, replayed: bool
) -> list[DeadLetter]:
    spool = Spool.open(settings)
    try:
        refused = [r for r in spool.refused() if r.message.feed == feed and reason.lower() in r.reason.lower()]
    finally:
        spool.close()
    if not refused:
        return []
    replays = {
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
            replays.get(r.number),
            r.message.dataset,
        )
        for r in refused
        if replayed or r.number not in replays
    ]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
