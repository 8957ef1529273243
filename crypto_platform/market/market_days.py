"""A market's own days: from midnight to midnight in New York for stocks, in UTC for crypto."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crypto_platform.market.bars import TIMEZONES, AssetClass, Timeframe


def midnight(asset_class: AssetClass, day: date) -> datetime:
    """When the market's `day` begins, in UTC; Alpaca labels the day's bar by it."""
    return datetime.combine(day, time.min, ZoneInfo(TIMEZONES[asset_class])).astimezone(UTC)


def local_day(asset_class: AssetClass, moment: datetime) -> date:
    """The market's day at `moment` (aware)."""
    return moment.astimezone(ZoneInfo(TIMEZONES[asset_class])).date()


def day_ends(asset_class: AssetClass, timeframe: Timeframe, day: date) -> datetime:
    """When the bars of the UTC day `day` are over: a stock's daily bar, four or five hours after the UTC day is."""
    after = day + timedelta(days=1)
    return midnight(asset_class, after) if timeframe.is_daily else datetime.combine(after, time.min, UTC)


def running_bar(asset_class: AssetClass, timeframe: Timeframe, moment: datetime) -> datetime:
    """The start, in UTC, of the bar that `moment` (aware) lies in; every bar before it is over."""
    if timeframe.is_daily:
        return midnight(asset_class, local_day(asset_class, moment))
    seconds = moment.timestamp() // timeframe.seconds * timeframe.seconds
    return datetime.fromtimestamp(seconds, UTC)
