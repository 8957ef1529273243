"""What Alpaca was asked for: `RAW.REQUESTED_PARTITIONS`, by which a gap is the vendor's or ours.

The ledger cannot tell: a bar that comes again unchanged adds no row, and a day without a bar has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from crypto_platform.connectors.lake import Lake, LakeDayMissingError
from crypto_platform.connectors.snowflake.schema import REQUESTED_PARTITIONS
from crypto_platform.connectors.snowflake.statements import insert
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.dataset import format_time

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_COLUMNS = {
    "feed": "VARCHAR",
    "symbol": "VARCHAR",
    "timeframe": "VARCHAR",
    "partition_date": "DATE",
    "complete_until": "TIMESTAMP_NTZ",
    "record_count": "NUMBER(38, 0)",
    "run_id": "VARCHAR",
    "recorded_at": "TIMESTAMP_NTZ",
}


@dataclass(frozen=True)
class RequestedPartition:
    """A symbol's UTC day as Alpaca answered, with so many bars or corporate actions of it.

    `until` (UTC): when it answered, if the ledger holds all of them; else the day's start, from which no gap follows.
    """

    symbol: str
    day: date
    until: datetime
    record_count: int


def requested_partitions(
    lake: Lake, feed: str, timeframe: Timeframe, days: Iterable[date], held: Mapping[date, Mapping[str, int]]
) -> Iterator[RequestedPartition]:
    """What the lake's days and symbols were asked for; `held` counts the ledger's bars.

    Of one that lacks bars it says that it was asked for and no more: its gaps are ours, whatever Alpaca answered.
    """
    for day in days:
        try:
            answers = lake.observed(feed, timeframe.name, day)
        except LakeDayMissingError:
            continue
        for symbol, (bars, until) in answers.items():
            is_whole = held.get(day, {}).get(symbol, 0) >= bars
            yield RequestedPartition(symbol, day, until if is_whole else datetime.combine(day, time(), UTC), bars)


def requested_actions(lake: Lake, feed: str, days: Iterable[date]) -> Iterator[RequestedPartition]:
    """The same of corporate actions, by process date: what Alpaca answered, and when."""
    for day in days:
        try:
            answers = lake.observed(feed, CORPORATE_ACTIONS.name, day)
        except LakeDayMissingError:
            continue
        for symbol, (actions, until) in answers.items():
            yield RequestedPartition(symbol, day, until, actions)


def record(
    connection: "SnowflakeConnection", feed: str, timeframe: str, requested: Iterable[RequestedPartition], run_id: str
) -> None:
    """Add a row for each; what was known before stays."""
    recorded_at = naive(datetime.now(UTC))
    rows = (
        (feed, p.symbol, timeframe, p.day.isoformat(), naive(p.until), p.record_count, run_id, recorded_at)
        for p in requested
    )
    insert(connection, REQUESTED_PARTITIONS, _COLUMNS, rows)


def naive(moment: datetime) -> str:
    """A time as TIMESTAMP_NTZ in UTC has it."""
    return format_time(moment).removesuffix("Z")
