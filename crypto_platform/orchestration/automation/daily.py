"""When a feed's daily run starts, and which days it asks for.

All partitions are UTC days. A day is whole at its midnight, and Alpaca's answer about its last bars is final once the
feed's vendor delay has passed too (stocks without a subscription: 15 minutes): the run starts four minutes later.

A New York session of date S lies in the UTC day S, from 04:00 local (09:00 UTC in winter, 08:00 in summer) on, the
regular hours always whole. After-hours trading ends at 20:00 local, which is 00:00 UTC of S+1 in summer and 01:00 UTC
of S+1 in winter: then its last hour lies in the UTC day S+1. Starting an hour later would not bring that hour, because
the partition S+1 exists once S+1 is over; so the run starts at the same minute after midnight UTC all year, and no
change of the clocks moves it. In winter that hour comes with the next session's run, Friday's with Monday's. dbt puts
every bar to its session by New York's date.

A stock's daily bar is over at New York's midnight, 04:00 or 05:00 UTC of the day after: such a feed's run starts twenty
minutes after midnight on New York's clock.

After a UTC day without a session (weekends, holidays) no stock run starts: the next session's takes these days in,
which materialise as zero bars with the reason, or in winter with the hour above.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dagster import DagsterInstance

from crypto_platform.market.bars import TIMEZONES, Timeframe
from crypto_platform.market.data_source import moves_on
from crypto_platform.market.day_ranges import ONE_DAY, Range
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.market.market_days import local_day
from crypto_platform.market.sessions import trading_hours
from crypto_platform.orchestration.history import in_flight, materialised
from crypto_platform.settings import Settings

# After the vendor's delay: clocks differ by seconds.
MARGIN = timedelta(minutes=4)


def timezone(spec: FeedSpec) -> str:
    """On which clock the feed's daily run starts: New York's for a stock's daily bars, whose days are New York's."""
    return TIMEZONES[spec.asset_class] if Timeframe.parse(spec.timeframe).is_daily else "UTC"


def cron(spec: FeedSpec) -> str:
    """When the feed's daily run starts, on the clock of `timezone`."""
    minutes = int((spec.vendor_delay + MARGIN).total_seconds()) // 60
    return f"{minutes % 60} {minutes // 60} * * *"


@dataclass(frozen=True)
class Due:
    """What a tick asks for, [start, end) of UTC days or nothing, and why, for a person to read."""

    days: Range | None
    why: str


def due(instance: DagsterInstance, settings: Settings, feed: str, tick: datetime, now: datetime) -> Due:
    """What a feed's tick (aware, as scheduled) asks for at `now`.

    The days are by the clock, not by the tick: of several ticks that were missed the first asks for all days.
    """
    spec = feeds()[feed]
    if reason := reason_not_to_ask(settings) or reason_to_wait(spec, tick):
        return Due(None, reason)
    newest = newest_whole_day(spec, max(now, tick))
    there = materialised(instance, feed)
    days = days_due(newest, there, in_flight(instance, feed))
    if days is None:
        return Due(None, f"{feed} has every day up to {newest}, or a run is working on it")
    if not there:
        return Due(
            days,
            f"{feed} has no day yet: asking for {newest} only. For the past: crypto-platform backfill "
            f"--feed {feed} --from {spec.start_date} --to {newest}",
        )
    return Due(days, f"{feed} lacks [{days[0]}, {days[1]})")


def reason_to_wait(spec: FeedSpec, tick: datetime) -> str | None:
    """Why the tick, an aware time, asks for nothing: on the day before it the market was closed.

    Raises:
        ValueError: the exchange's calendar does not reach to that day.
    """
    day = newest_whole_day(spec, tick)
    if trading_hours(spec.asset_class, day):
        return None
    return f"{day} is no session: the next one's run takes it in"


def reason_not_to_ask(settings: Settings) -> str | None:
    """Why no daily run starts with these settings: recordings end in the past, so every new day would be empty."""
    if settings.daily_schedules_enabled is None:
        return (
            None
            if moves_on(settings)
            else "recordings have no new days (DAILY_SCHEDULES_ENABLED=true runs all the same)"
        )
    return None if settings.daily_schedules_enabled else "DAILY_SCHEDULES_ENABLED is false"


def newest_whole_day(spec: FeedSpec, now: datetime) -> date:
    """The newest day that is over, with the vendor's delay, at `now`: of daily bars the market's, else UTC's."""
    until = now - spec.vendor_delay
    over = (
        local_day(spec.asset_class, until) if Timeframe.parse(spec.timeframe).is_daily else until.astimezone(UTC).date()
    )
    return over - ONE_DAY


def days_due(newest: date, materialised: Collection[date], in_flight: Collection[Range]) -> Range | None:
    """The days to ask for in one run: all after the last materialised one up to `newest`, as [start, end).

    Days that unfinished runs work on are theirs. Before anything was materialised `newest` alone: how far back to go is
    a person's decision.
    """
    start = max((day for day in materialised if day <= newest), default=newest - ONE_DAY) + ONE_DAY
    for first, after in sorted(in_flight):
        if first <= start < after:
            start = after
    return (start, newest + ONE_DAY) if start <= newest else None
