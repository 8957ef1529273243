"""US stock sessions and New York's clock, for stock bars. The exchange calendar is read on first use."""

from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
NEW_YORK = "America/New_York"
FIRST_SESSION = "1990-01-01"


@lru_cache(maxsize=1)
def regular_sessions() -> tuple[NDArray, NDArray]:
    """Opens and closes of the New York Stock Exchange since 1990, int64 nanoseconds since the epoch, UTC."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_SESSION)
    schedule = calendar.schedule
    opens, closes = (schedule[edge].to_numpy("M8[ns]").astype(np.int64) for edge in ("open", "close"))
    return opens, closes


@lru_cache(maxsize=1)
def extended_sessions() -> tuple[NDArray, NDArray]:
    """The same with the extended hours: 5½ hours before the open (04:00) to 4 after the close (20:00)."""
    opens, closes = regular_sessions()
    return opens - 11 * HOUR // 2, closes + 4 * HOUR


def in_regular_hours(times: NDArray) -> NDArray:
    """Which bar starts (int64 ns, UTC) fall into a regular session."""
    opens, closes = regular_sessions()
    session = np.searchsorted(opens, times, "right") - 1
    return (session >= 0) & (times < closes[np.maximum(session, 0)])


def to_new_york(times: NDArray) -> NDArray:
    """UTC ns to New York wall-clock ns."""
    import pandas as pd

    local = pd.DatetimeIndex(times.astype("M8[ns]"), tz="UTC").tz_convert(NEW_YORK).tz_localize(None)
    return local.to_numpy("M8[ns]").astype(np.int64)


def from_new_york(midnights: NDArray) -> NDArray:
    """New York midnights (wall-clock ns) to UTC ns; midnight is never in a daylight-saving change."""
    import pandas as pd

    utc = pd.DatetimeIndex(midnights.astype("M8[ns]")).tz_localize(NEW_YORK).tz_convert("UTC")
    return utc.tz_localize(None).to_numpy("M8[ns]").astype(np.int64)


def midnight(day: date, asset_class: str) -> int:
    """The ns at which a day begins: in UTC for crypto, in New York for stocks."""
    start = np.array([np.datetime64(day, "ns").astype(np.int64)])
    return int(start[0] if asset_class == "crypto" else from_new_york(start)[0])


def today(now: int, asset_class: str) -> date:
    """The market's day at `now` (ns since the epoch): in UTC for crypto, in New York for stocks."""
    zone = ZoneInfo("UTC" if asset_class == "crypto" else NEW_YORK)
    return datetime.fromtimestamp(now // 10**9, zone).date()
