"""Fill a topic and the ledger again from the lake, after one of the two lost what it held."""

from datetime import date

from crypto_platform.connectors.lake import Lake
from crypto_platform.settings import Settings


def stored(settings: Settings, feed: str, timeframe: str, start: date | None, end: date | None) -> list[date]:
    """The lake's days of a feed within [start, end); an open side is unlimited.

    Raises:
        ValueError: there is none.
    """
    days = [
        day
        for day in Lake(settings.lake).days(feed, timeframe)
        if (start is None or day >= start) and (end is None or day < end)
    ]
    if not days:
        raise ValueError(f"the lake at {settings.lake} has no day of {feed} in that range: materialize it instead")
    return days
