"""What a backfill will ask for, before it does: days, runs, bars, requests, and the least time these take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from math import ceil

from crypto_platform.connectors.alpaca.plan import plan as plan_requests
from crypto_platform.connectors.alpaca.request import PAGE_BARS, BarsRequest
from crypto_platform.connectors.lake import Lake, LakeDayMissingError
from crypto_platform.ingestion.universe import Universe
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.completeness import expected_bars
from crypto_platform.market.day_ranges import ONE_DAY, Range, days_in, ranges
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings

# A run of more is cut: what an interruption loses is bounded by five minutes of Alpaca's limit without a subscription,
# and so are one Spark job and one load. It is nineteen years of minutes of one symbol.
REQUESTS_A_RUN = 1_000


@dataclass(frozen=True)
class BackfillPlan:
    """What to ask for: half-open ranges of UTC days, a run each.

    `bars` by the market's calendar, regular hours; `requests` at the least, since a page holds 10,000 bars; `limit` is
    how many of them the API takes in a minute.
    """

    ranges: list[Range]
    bars: int
    requests: int
    limit: int

    @property
    def days(self) -> int:
        return sum((after - first).days for first, after in self.ranges)

    @property
    def least_seconds(self) -> int:
        """How long the API's limit makes the requests take at the least: the first minute's go at once."""
        return max(0, self.requests - 1) // self.limit * 60


def plan(settings: Settings, feed: str, spec: FeedSpec, symbols: Sequence[str], days: Sequence[date]) -> BackfillPlan:
    """The runs for `days`: one for each contiguous range, cut where it would be too long.

    Raises:
        ValueError: the exchange's calendar does not reach to one of the days.
    """
    runs: list[Range] = []
    bars = requests = 0
    for first, after in ranges(days):
        a_day = max(1, _requests(settings, feed, spec, symbols, (first, after)) // (after - first).days)
        longest = max(1, REQUESTS_A_RUN // a_day) * ONE_DAY
        while first < after:
            run = first, min(first + longest, after)
            runs.append(run)
            bars += len(symbols) * _bars(spec, run)
            requests += _requests(settings, feed, spec, symbols, run)
            first = run[1]
    return BackfillPlan(runs, bars, requests, settings.alpaca_requests_per_minute)


def lacking(
    spec: FeedSpec, feed: str, symbols: Sequence[str], wanted: Range, materialised: set[date], lake: Lake
) -> list[date]:
    """The wanted days that were never loaded, or, of some symbols only, that the lake has without one of them."""
    chosen = set(symbols)

    def lacks(day: date, members: Sequence[str]) -> bool:
        own = chosen.intersection(members)
        return len(own) < len(members) and not own <= _kept(lake, feed, spec.timeframe, day)

    everyone = Universe(lake, feed, spec).members(days_in(wanted))
    return [day for day, members in everyone.items() if day not in materialised or lacks(day, members)]


def _kept(lake: Lake, feed: str, timeframe: str, day: date) -> set[str]:
    try:
        return set(lake.counts(feed, timeframe, day))
    except LakeDayMissingError:
        return set()


def _requests(settings: Settings, feed: str, spec: FeedSpec, symbols: Sequence[str], days: Range) -> int:
    """A page holds `PAGE_BARS`; a window that holds none is asked for as well."""
    start, end = max(days[0], spec.start_date), days[1]
    if start >= end:
        return 0
    timeframe = Timeframe.parse(spec.timeframe)
    chosen = plan_requests(
        BarsRequest(feed, spec.asset_class, tuple(symbols), timeframe, start, end), settings.alpaca_concurrency
    )
    return sum(
        max(1, ceil(len(group) * _bars(spec, window) / PAGE_BARS))
        for group in chosen.groups
        for window in chosen.windows(start, end)
    )


def _bars(spec: FeedSpec, days: Range) -> int:
    """Of one symbol."""
    return sum(
        expected_bars(spec, day, datetime.combine(day + ONE_DAY, time.min, UTC))
        for day in days_in(days)
        if day >= spec.start_date
    )
