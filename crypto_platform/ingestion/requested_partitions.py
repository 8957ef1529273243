"""What Alpaca was asked for: `RAW.REQUESTED_PARTITIONS`, by which a gap is the vendor's or ours.

The ledger cannot tell: a bar that comes again unchanged adds no row, and a day without a bar has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from crypto_platform.connectors.lake import Lake, LakeDayMissingError
from crypto_platform.connectors.snowflake.schema import ASKED
from crypto_platform.connectors.snowflake.statements import insert
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_COLUMNS = {
    "feed": "VARCHAR",
    "symbol": "VARCHAR",
    "timeframe": "VARCHAR",
    "day": "DATE",
    "complete_until": "TIMESTAMP_NTZ",
    "bars": "NUMBER(38, 0)",
    "run_id": "VARCHAR",
    "recorded_at": "TIMESTAMP_NTZ",
}


@dataclass(frozen=True)
class Asked:
    """A symbol's UTC day as Alpaca answered, with `bars` of it.

    `until` (UTC): when it answered, if the ledger holds all of them; else the day's start, from which no gap follows.
    """

    symbol: str
    day: date
    until: datetime
    bars: int


def requested_partitions(
    lake: Lake, feed: str, timeframe: Timeframe, days: Iterable[date], held: Mapping[date, Mapping[str, int]]
) -> Iterator[Asked]:
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
            yield Asked(symbol, day, until if is_whole else datetime.combine(day, time(), UTC), bars)


def requested_actions(lake: Lake, feed: str, days: Iterable[date]) -> Iterator[Asked]:
    """The same of corporate actions, by process date: what Alpaca answered, and when."""
    for day in days:
        try:
            answers = lake.observed(feed, CORPORATE_ACTIONS.name, day)
        except LakeDayMissingError:
            continue
        for symbol, (actions, until) in answers.items():
            yield Asked(symbol, day, until, actions)


def record(connection: "SnowflakeConnection", feed: str, timeframe: str, asked: Iterable[Asked], run_id: str) -> None:
    """Add a row for each; what was known before stays."""
    recorded_at = naive(datetime.now(UTC))
    rows = [(feed, a.symbol, timeframe, a.day.isoformat(), naive(a.until), a.bars, run_id, recorded_at) for a in asked]
    insert(connection.cursor(), ASKED, _COLUMNS, rows)


def naive(moment: datetime) -> str:
    """A time as TIMESTAMP_NTZ in UTC has it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
