"""Trading sessions: when a market is open, and why a UTC day may have no bars.

Crypto trades around the clock, US stocks on the New York Stock Exchange's sessions.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from crypto_platform.market.bars import AssetClass

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

# As dbt's calendar (`calendar_from` in dbt_project.yml): no bar of an earlier day has a session.
FIRST_DAY = date(1998, 1, 1)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@lru_cache(maxsize=1)
def nyse() -> "ExchangeCalendar":
    """The exchange's calendar, from `FIRST_DAY` to a year ahead."""
    # A second of imports (pandas), which crypto never needs.
    from exchange_calendars import get_calendar

    return get_calendar("XNYS", start=FIRST_DAY.isoformat())


@lru_cache(maxsize=1)
def _sessions() -> dict[date, tuple[datetime, datetime]]:
    """Hours by session; asking the calendar for one takes a millisecond."""
    schedule = nyse().schedule
    times = ([moment.to_pydatetime() for moment in schedule[name]] for name in ("open", "close"))
    return {day.date(): (opens, closes) for day, opens, closes in zip(schedule.index, *times, strict=True)}


def trading_hours(asset_class: AssetClass, day: date) -> tuple[datetime, datetime] | None:
    """The regular hours [open, close), UTC, of the session on `day`; None when the market is closed that day.

    Crypto's is the UTC day itself; a New York session lies within the UTC day of its date.

    Raises:
        ValueError: the exchange's calendar does not reach to that day.
    """
    if asset_class == "crypto":
        opens = datetime.combine(day, time.min, UTC)
        return opens, opens + timedelta(days=1)
    sessions = _sessions()
    first, last = next(iter(sessions)), next(reversed(sessions))
    if not first <= day <= last:
        raise ValueError(f"the exchange calendar covers {first} to {last}, not {day}")
    return sessions.get(day)


def open_since(asset_class: AssetClass, moment: datetime) -> datetime | None:
    """When the market that is open at `moment` (UTC) was opened, in its regular hours; None: it is closed.

    Crypto's never was. Beyond the exchange's calendar a market counts as closed.
    """
    if asset_class == "crypto":
        return datetime.min.replace(tzinfo=UTC)
    try:
        hours = trading_hours(asset_class, moment.astimezone(UTC).date())
    except ValueError:
        return None
    return hours[0] if hours and hours[0] <= moment < hours[1] else None


def reason_without_bars(asset_class: AssetClass, day: date) -> str:
    """Why a UTC day has no bars, in words for a person."""
    if asset_class == "crypto":
        return "Alpaca has no bars for this day"
    calendar = nyse()
    if not calendar.first_session.date() <= day <= calendar.last_session.date():
        return "Alpaca has no bars for this day, which the exchange calendar does not cover"
    if calendar.is_session(day.isoformat()):
        return "Alpaca has no bars for this session"
    if day.weekday() >= 5:
        return f"no session: {_WEEKDAYS[day.weekday()]}"
    return f"no session: {_holidays().get(day, 'the exchange was closed')}"


@lru_cache(maxsize=1)
def _holidays() -> dict[date, str]:
    """The exchange's regular holidays by day; pandas makes them of rules, which takes a while for each request."""
    calendar = nyse()
    names = calendar.regular_holidays.holidays(calendar.first_session, calendar.last_session, return_name=True)
    return {when.date(): name for when, name in names.items()}
