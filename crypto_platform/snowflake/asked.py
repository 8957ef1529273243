"""What Alpaca was asked for: `RAW.ASKED_DAYS`, by which a gap is the vendor's or ours.

The ledger cannot tell: a bar that comes again unchanged adds no row, and a day without a bar has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from crypto_platform.bars import Timeframe
from crypto_platform.lake import Lake, LakeDayMissing
from crypto_platform.snowflake.schema import ASKED

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_ROWS = 1_000


@dataclass(frozen=True)
class Asked:
    """A symbol's UTC day as Alpaca answered at `until` (UTC): `bars` of it, all of which the ledger holds."""

    symbol: str
    day: date
    until: datetime
    bars: int


def asked_days(
    lake: Lake, feed: str, timeframe: Timeframe, days: Iterable[date], held: Mapping[date, Mapping[str, int]]
) -> Iterator[Asked]:
    """The lake's days and symbols of which the ledger holds every bar, as `held` counts it.

    One that lacks bars stays unsaid: its gaps are ours, whatever Alpaca answered.
    """
    for day in days:
        try:
            answers = lake.observed(feed, timeframe.name, day)
        except LakeDayMissing:
            continue
        for symbol, (bars, until) in answers.items():
            if held.get(day, {}).get(symbol, 0) >= bars:
                yield Asked(symbol, day, until, bars)


def record(connection: "SnowflakeConnection", feed: str, timeframe: str, asked: Iterable[Asked], run_id: str) -> None:
    """Add a row for each; what was known before stays."""
    rows = [
        (feed, a.symbol, timeframe, a.day.isoformat(), _naive(a.until), a.bars, run_id, _naive(datetime.now(UTC)))
        for a in asked
    ]
    for first in range(0, len(rows), _ROWS):
        # Sent as one statement of so many rows.
        connection.cursor().executemany(
            f"INSERT INTO {ASKED} (feed, symbol, timeframe, day, asked_until, bars, run_id, recorded_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows[first : first + _ROWS],
        )


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
