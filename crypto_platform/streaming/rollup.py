"""A feed's bars put together from the stream's minutes, for feeds whose timeframe is longer than a minute.

Only whole bars: one that is not over is no bar yet, and one that a connection was not there for from its beginning
on is left to REST. Volume and VWAP are rounded to 9 decimals; Alpaca makes its
longer bars from trades, so that its VWAP may differ in the last digits until REST has been asked.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from crypto_platform.market.bars import Timeframe

MINUTE = 60
_DECIMALS = 9

Bar = dict[str, Any]


@dataclass
class _Interval:
    """The minutes of one symbol's bar so far, by their start."""

    minutes: dict[int, Bar] = field(default_factory=dict)
    told: bool = False


class RollUp:
    """Of each symbol the intervals that minutes may still come for; times are epoch seconds, `t` is left out."""

    def __init__(self, timeframe: Timeframe) -> None:
        self._seconds = timeframe.seconds
        self._intervals: dict[tuple[str, int], _Interval] = {}
        self._whole_from = 0.0

    def __len__(self) -> int:
        return len(self._intervals)

    def connected(self, at: float) -> None:
        """Minutes come without a gap from then on: what began earlier and was not told will not be whole."""
        self._whole_from = max(self._whole_from, at)
        for key in [key for key, interval in self._intervals.items() if key[1] < at and not interval.told]:
            del self._intervals[key]

    def add(self, symbol: str, start: int, minute: Bar) -> tuple[int, Bar] | None:
        """Take a minute in; the bar it completes, or corrects after it was told, with its start."""
        first = start - start % self._seconds
        if first < self._whole_from and (symbol, first) not in self._intervals:
            return None
        interval = self._intervals.setdefault((symbol, first), _Interval())
        interval.minutes[start] = minute
        if not interval.told and start != first + self._seconds - MINUTE:
            return None
        interval.told = True
        return first, combine(interval.minutes)

    def due(self, now: float, patience: float) -> list[tuple[str, int, Bar]]:
        """The bars that are over for `patience` seconds and whose last minute brought no trade."""
        found = []
        for (symbol, first), interval in self._intervals.items():
            if not interval.told and first + self._seconds + patience <= now:
                interval.told = True
                found.append((symbol, first, combine(interval.minutes)))
        return found

    def forget(self, before: float) -> None:
        """Let go of what began before then; what still comes of it is passed over."""
        self._whole_from = max(self._whole_from, before)
        for key in [key for key in self._intervals if key[1] < before]:
            del self._intervals[key]


def is_sound(start: int, minute: Bar) -> bool:
    """Whether a minute can be part of a longer bar at all."""
    numbers = [minute.get(name) for name in ("o", "h", "l", "c", "v")]
    return (
        start % MINUTE == 0
        and all(isinstance(n, int | float) and isfinite(n) for n in numbers)
        and minute["h"] >= minute["l"]
        and minute["v"] >= 0
    )


def combine(minutes: dict[int, Bar]) -> Bar:
    """One bar of some minutes."""
    ordered = [minutes[start] for start in sorted(minutes)]
    volume = sum(bar["v"] for bar in ordered)
    combined: Bar = {
        "o": ordered[0]["o"],
        "h": max(bar["h"] for bar in ordered),
        "l": min(bar["l"] for bar in ordered),
        "c": ordered[-1]["c"],
        "v": round(volume, _DECIMALS),
    }
    if all("n" in bar for bar in ordered):
        combined["n"] = sum(bar["n"] for bar in ordered)
    if all("vw" in bar for bar in ordered):
        turnover = sum(bar["vw"] * bar["v"] for bar in ordered if bar["v"] > 0)
        mean = round(turnover / volume, _DECIMALS) if volume > 0 else combined["c"]
        combined["vw"] = min(max(mean, combined["l"]), combined["h"])
    return combined
