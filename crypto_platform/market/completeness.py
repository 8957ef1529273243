"""Which bars a day should have by the calendar, and which days have fewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from crypto_platform.market.bars import Timeframe
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.market_days import midnight
from crypto_platform.market.sessions import trading_hours


@dataclass(frozen=True)
class Shortfall:
    """A symbol's UTC day with `actual` bars where the calendar has room for `expected`."""

    day: date
    symbol: str
    expected: int
    actual: int


def expected_bars(spec: FeedSpec, day: date, until: datetime) -> int:
    """How many bars of regular hours end by `until` on the UTC day; 0 when the market is closed.

    A session has one bar of a day; it counts where it begins before `until`, as `ExtractReport.complete_until` has it.

    Raises:
        ValueError: the exchange's calendar does not reach to that day.
    """
    if (hours := trading_hours(spec.asset_class, day)) is None:
        return 0
    opens, closes = hours
    timeframe = Timeframe.parse(spec.timeframe)
    if timeframe.is_daily:
        return int(midnight(spec.asset_class, day) < until)
    return max(0, int((min(closes, until) - opens) / timeframe.delta))


def shortfalls(spec: FeedSpec, counts: Mapping[date, Mapping[str, int]], until: datetime) -> list[Shortfall]:
    """The days and symbols of `counts` that have fewer bars than they should, of those that ended by `until`.

    Crypto has a bar for each step of the day. A stock has none where nobody traded: only a session without any bar
    falls short.

    Raises:
        ValueError: the exchange's calendar does not reach to one of the days.
    """
    short = []
    for day, symbols in counts.items():
        expected = expected_bars(spec, day, until)
        needed = expected if spec.asset_class == "crypto" else min(expected, 1)
        short += [Shortfall(day, symbol, expected, bars) for symbol, bars in symbols.items() if bars < needed]
    return short
