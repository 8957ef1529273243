"""Bars made for a test, and what the ledger holds of them."""

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crypto_platform.connectors.kafka.admin import TopicError, ensure_topic, topic_state
from crypto_platform.connectors.lake import LakeDay, Section
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.schema import REJECTED
from crypto_platform.market import bars
from crypto_platform.settings import Settings

OBSERVED = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = date(2026, 1, 2)

Row = tuple[Any, ...]


def feed_name() -> str:
    """A feed of one test's own: its own topic and ledger."""
    return f"t{uuid.uuid4().hex[:10]}"


def bar(minute: int, **fields: Any) -> dict[str, Any]:
    """A good bar of `DAY`, as Alpaca's JSON has it."""
    start = datetime.combine(DAY, time()) + timedelta(minutes=minute)
    base = 100 + minute * 0.1
    return {
        "t": f"{start.isoformat()}Z",
        "o": base,
        "h": base + 1.7,
        "l": base - 0.3,
        "c": base + 0.9,
        "v": minute / 7,
        "n": minute,
        "vw": base + 0.123456789,
    } | fields


def line(symbol: str, values: dict[str, Any], timeframe: str = "1Min") -> bytes:
    return bars.encode(bars.line_prefix(symbol, timeframe), values)


def day(
    symbols: dict[str, Iterable[dict[str, Any] | bytes]], observed_at: datetime = OBSERVED, feed: str = "made"
) -> LakeDay:
    """A lake day of these bars per symbol; bytes are taken as the line itself."""
    sections = {
        symbol: Section(observed_at, [b if isinstance(b, bytes) else line(symbol, b) for b in of_symbol])
        for symbol, of_symbol in symbols.items()
    }
    return LakeDay(feed, "1Min", DAY, sections, "run")


DATA_COLUMNS = (*(f.column for f in bars.FIELDS), "source", "observed_at")


def await_another_topic(settings: Settings, feed: str, before: str) -> None:
    """Create the feed's deleted topic anew, once Kafka lets go of the one with the id `before`."""
    while True:
        try:
            ensure_topic(settings, feed)
            if topic_state(settings, feed).topic_id != before:
                return
        except TopicError:
            continue


def ledger(settings: Settings, feed: str) -> list[Row]:
    """All versions of all bars: the columns that do not depend on how they came in, sorted."""
    with connect(settings) as connection:
        rows = connection.cursor().execute(f"SELECT {', '.join(DATA_COLUMNS)} FROM {bars.BARS.ledger(feed)}").fetchall()
    return sorted(rows)


def rejects(settings: Settings, feed: str) -> list[Row]:
    """Reason, raw key and raw value of what was rejected, in the order of the topic."""
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT kafka_partition, kafka_offset, reason, raw_key, raw_value FROM {REJECTED} WHERE feed = %s", (feed,)
        )
        return [row[2:] for row in sorted(rows, key=lambda row: row[:2])]


def places(settings: Settings, feed: str) -> list[Row]:
    """(partition, offset) of every message that is in the ledger or among the rejected, sorted."""
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT kafka_partition, kafka_offset FROM {bars.BARS.ledger(feed)} "
            f"UNION ALL SELECT kafka_partition, kafka_offset FROM {REJECTED} WHERE feed = %s",
            (feed,),
        )
        return sorted(rows)
