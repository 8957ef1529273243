"""Alpaca's timeframes, and how bars of a longer one are rolled up from a shorter one."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crypto_platform.sandbox.alpaca.columns import MISSING_COUNT, Bars
from crypto_platform.sandbox.alpaca.sessions import DAY, from_new_york, in_regular_hours, to_new_york

MINUTE = 60_000_000_000

# https://docs.alpaca.markets/reference/stockbars, parameter `timeframe`.
_ALLOWED = {
    "Min": range(1, 60),
    "Hour": range(1, 24),
    "Day": (1,),
    "Week": (1,),
    "Month": (1, 2, 3, 4, 6, 12),
}
_SHORT = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_MINUTES = {"Min": 1, "Hour": 60, "Day": 1440, "Week": 7 * 1440, "Month": 31 * 1440}


@dataclass(frozen=True)
class Timeframe:
    """`amount` of `unit` (Min, Hour, Day, Week or Month)."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """Parse `5Min`, `5T`, `1Hour`, `1Day`, `1Week`, `3Month` and the like.

        Raises:
            ValueError: it is not one of Alpaca's timeframes.
        """
        match = re.fullmatch(r"([1-9][0-9]?)(Min|Hour|Day|Week|Month|[THDWM])", text)
        unit = _SHORT.get(match[2], match[2]) if match else ""
        if not match or int(match[1]) not in _ALLOWED[unit]:
            raise ValueError(f"invalid timeframe: {text}")
        return cls(int(match[1]), unit)

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def minutes(self) -> int:
        """Its length in minutes; a month counts its longest."""
        return self.amount * _MINUTES[self.unit]

    @property
    def intraday(self) -> bool:
        return self.unit in ("Min", "Hour")

    def is_multiple_of(self, base: "Timeframe") -> bool:
        """Whether this timeframe's bars can be put together from the base's."""
        if self.intraday:
            return base.intraday and self.minutes % base.minutes == 0
        if base.intraday:
            return _MINUTES["Day"] % base.minutes == 0
        return base.unit == "Day" or (self.unit == base.unit == "Month" and self.amount % base.amount == 0)

    def starts(self, times: NDArray, asset_class: str) -> NDArray:
        """The start of the bar that each time (int64 ns, UTC) falls into.

        Minutes and hours lie on UTC's clock; days, weeks (from Monday) and months begin at midnight UTC for
        crypto and midnight New York for stocks.
        """
        if self.intraday:
            of_day = times % DAY
            return times - of_day + of_day // (self.minutes * MINUTE) * (self.minutes * MINUTE)
        local = times if asset_class == "crypto" else to_new_york(times)
        days = local // DAY
        if self.unit == "Week":
            days = days - (days + 3) % 7  # 1970-01-01 was a Thursday
        elif self.unit == "Month":
            months = (days.astype("M8[D]").astype("M8[M]").astype(np.int64)) // self.amount * self.amount
            days = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
        midnights = days * DAY
        return midnights if asset_class == "crypto" else from_new_york(midnights)


ONE_MINUTE = Timeframe(1, "Min")
ONE_DAY = Timeframe(1, "Day")


def days_of_alpaca(times: NDArray, asset_class: str) -> NDArray:
    """The times (int64 ns, UTC) that other vendors give a stock's days, as Alpaca labels them: by New York's midnight.

    A date, or midnight in UTC, which reads as one, is that day; any other time is one of its New York day, such as the
    open or the close. A coin's day stays as it is: one from another midnight than UTC's is another day.
    """
    if asset_class == "crypto":
        return times
    return np.where(times % DAY == 0, from_new_york(times), ONE_DAY.starts(times, asset_class))


def roll_up(bars: Bars, timeframe: Timeframe, asset_class: str, from_intraday: bool = True) -> Bars:
    """Bars of `timeframe` put together from shorter ones; only intervals that have a bar get one.

    As at Alpaca, a stock's day takes open, high, low and close from regular hours (from all hours on a day
    without a bar there) and volume, count and VWAP from the extended hours as well.
    """
    if not len(bars):
        return bars
    starts = timeframe.starts(bars.times, asset_class)
    if asset_class == "us_equity" and from_intraday and not timeframe.intraday:
        rolled = _reduce(bars, starts)
        regular = in_regular_hours(bars.times)
        prices = _reduce(bars[regular], starts[regular]) if regular.any() else rolled
        rows = np.searchsorted(rolled.times, prices.times)
        columns = {name: rolled.columns[name].copy() for name in ("o", "h", "l", "c")}
        for name, column in columns.items():
            column[rows] = prices.columns[name]
        return rolled.replaced(**columns)
    return _reduce(bars, starts)


def _reduce(bars: Bars, starts: NDArray) -> Bars:
    columns = bars.columns
    first = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
    last = np.r_[first[1:], len(starts)] - 1
    volume = np.add.reduceat(columns["v"], first)
    rolled = {
        "t": starts[first],
        "o": columns["o"][first],
        "h": np.maximum.reduceat(columns["h"], first),
        "l": np.minimum.reduceat(columns["l"], first),
        "c": columns["c"][last],
        "v": np.round(volume, 9),
    }
    if "n" in columns:
        there = bars.present("n")
        counts = np.add.reduceat(np.where(there, columns["n"], 0), first)
        rolled["n"] = np.where(np.logical_and.reduceat(there, first), counts, MISSING_COUNT)
    if "vw" in columns:
        # A bar without a trade has a VWAP that weighs nothing, even where it is missing.
        traded = columns["v"] > 0
        turnover = np.add.reduceat(np.where(traded, columns["vw"] * columns["v"], 0.0), first)
        with np.errstate(invalid="ignore", divide="ignore"):
            vwap = np.where(volume > 0, np.round(turnover / volume, 9), rolled["c"])
        rolled["vw"] = np.where(np.isnan(vwap), vwap, np.clip(vwap, rolled["l"], rolled["h"]))
    return Bars(rolled)
