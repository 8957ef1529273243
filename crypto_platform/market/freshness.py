"""What a feed must hold at an instant: the newest day, the newest bar, and since when.

A UTC day is whole at its midnight, a stock's daily bar at New York's. It is due once the vendor's delay and the minutes
that a run may take have passed after it; a day on which the market was closed is never due. See the feed's
`vendor_delay_minutes`, `max_run_minutes` and `no_trade_tolerance_minutes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Literal

from crypto_platform.market.bars import Timeframe
from crypto_platform.market.data_source import again
from crypto_platform.market.feed_spec import LISTED, FeedSpec
from crypto_platform.market.market_days import day_ends, midnight
from crypto_platform.market.sessions import trading_hours
from crypto_platform.market.symbol_history import Periods, is_in_use

ONE_DAY = timedelta(days=1)
# How far before the expected day its newest bars are looked for, so that a late feed's end can be told.
LOOK_BACK = timedelta(days=31)


@dataclass(frozen=True)
class Expectation:
    """The newest UTC `day` that must be there, the `bar_start` (UTC) its newest bar must have reached, and since when.

    `due` is the instant from which it is late not to have them.
    """

    day: date
    bar_start: datetime
    due: datetime


def due(spec: FeedSpec, day: date) -> datetime:
    """When `day`, if the market traded on it, must be there."""
    over = day_ends(spec.asset_class, Timeframe.parse(spec.timeframe), day)
    return over + spec.vendor_delay + timedelta(minutes=spec.max_run_minutes)


def expected(spec: FeedSpec, at: datetime) -> Expectation | None:
    """What a feed that runs once a day must hold at `at`; None while none of its days is due.

    Raises:
        ValueError: the exchange's calendar does not reach to `at`.
    """
    day = at.astimezone(UTC).date()
    while day >= spec.start_date:
        if due(spec, day) <= at and (hours := trading_hours(spec.asset_class, day)):
            return Expectation(day, _last_bar(spec, day, *hours), due(spec, day))
        day -= ONE_DAY
    return None


def newest_bar(spec: FeedSpec, at: datetime) -> datetime | None:
    """The bar_start that a feed that is always on must have reached at `at`; None when no bar is due yet.

    Of the running session only what Alpaca serves by then counts; before it, and on closed days, the last session does.

    Raises:
        ValueError: the exchange's calendar does not reach to `at`.
    """
    until = at.astimezone(UTC) - spec.vendor_delay
    timeframe = Timeframe.parse(spec.timeframe)
    day = until.date()
    while day >= spec.start_date:
        hours = trading_hours(spec.asset_class, day)
        if hours and _first_bar_ends(spec, timeframe, day, hours[0]) <= until:
            return _last_bar(spec, day, hours[0], min(hours[1], until))
        day -= ONE_DAY
    return None


def _first_bar_ends(spec: FeedSpec, timeframe: Timeframe, day: date, opens: datetime) -> datetime:
    """When the session's first bar is over, after the quiet there may be."""
    if timeframe.is_daily:
        return day_ends(spec.asset_class, timeframe, day)
    return opens + spec.quiet + timeframe.delta


def _last_bar(spec: FeedSpec, day: date, opens: datetime, until: datetime) -> datetime:
    """The bar on the timeframe's grid that the trading of [opens, until) has reached, less the quiet there may be."""
    timeframe = Timeframe.parse(spec.timeframe)
    if timeframe.is_daily:
        return midnight(spec.asset_class, day)
    step = timeframe.seconds
    end = max(until - spec.quiet, opens + timedelta(seconds=step)).timestamp()
    return datetime.fromtimestamp(end // step * step - step, UTC)


@dataclass(frozen=True)
class Verdict:
    """Whether a feed is up to date, in words for a person.

    `state`: `fresh`; `partly late`, when some of its symbols are; `late`. `late` by symbol: the newest bar_start there
    is, None without any. `remediation` is the command that brings what is missing.
    """

    state: Literal["fresh", "partly late", "late"]
    says: str
    expectation: Expectation | None = None
    late: Mapping[str, datetime | None] = field(default_factory=dict)
    remediation: str = ""


def judge(
    feed: str,
    spec: FeedSpec,
    at: datetime,
    newest_day: date | None,
    has_day: bool,
    newest_bars: Mapping[str, datetime],
    periods: Periods = MappingProxyType({}),
    halted: Mapping[str, datetime] = MappingProxyType({}),
) -> Verdict:
    """Compare what there is at `at` with what is expected.

    `newest_day` is the newest day that was ever materialised, `has_day` whether the expected one was, `newest_bars` the
    newest bar_start (UTC) by symbol, of the `LOOK_BACK` before it. A feed that was never materialised is late; a ticker
    that by `periods` is not in use any more has no bars that could be. `halted`: the symbols that nobody could trade at
    the expected bar, each with the beginning of its halt (UTC), up to which alone its bars must reach.
    """
    wanted = expected(spec, at)
    if wanted is None:
        return Verdict("fresh", f"nothing is due yet: the feed starts on {spec.start_date}")
    first = newest_day + ONE_DAY if newest_day and newest_day < wanted.day else wanted.day
    remediation = again(feed, first, wanted.day + ONE_DAY)
    since = f"due since {wanted.due:%Y-%m-%d %H:%M} UTC"
    if not has_day:
        newest = f"the newest day is {newest_day}" if newest_day else "no day was ever materialised"
        return Verdict("late", f"{wanted.day} is not materialised, {since}; {newest}", wanted, {}, remediation)
    traded = [s for s in spec.symbols if is_in_use(periods, s, wanted.day)]
    late = {s: newest_bars.get(s) for s in traded if _before(newest_bars.get(s), _reached(spec, wanted, halted.get(s)))}
    if not late:
        return Verdict("fresh", f"{wanted.day} is there, every symbol up to {wanted.bar_start:%H:%M} UTC", wanted)
    named = [f"{s} ends at {b:%Y-%m-%d %H:%M}" if b else f"{s} has none" for s, b in islice(late.items(), LISTED)]
    behind = ", ".join(named) + (f" and {len(late) - LISTED:,} more" if len(late) > LISTED else "")
    says = f"{wanted.day} is materialised, but its bars do not reach {wanted.bar_start:%H:%M} UTC: {behind}; {since}"
    return Verdict("late" if len(late) == len(traded) else "partly late", says, wanted, late, remediation)


def _reached(spec: FeedSpec, wanted: Expectation, halted_at: datetime | None) -> datetime | None:
    """The bar that a symbol must have reached; None: it was halted before the first one was over."""
    hours = trading_hours(spec.asset_class, wanted.day)
    if halted_at is None or hours is None:
        return wanted.bar_start
    if halted_at < hours[0] + Timeframe.parse(spec.timeframe).delta:
        return None
    return min(wanted.bar_start, _last_bar(spec, wanted.day, hours[0], halted_at))


def _before(newest: datetime | None, wanted: datetime | None) -> bool:
    return wanted is not None and (newest is None or newest < wanted)
