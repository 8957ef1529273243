"""A stock that is halted: no bars while it is, and the statuses that tell its beginning and its end.

https://docs.alpaca.markets/docs/real-time-stock-pricing-data, *Trading Status*.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.columns import Bars, concatenated
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, Timeframe, roll_up

# The tape of what an exchange lists, C of what is said to be listed nowhere.
_TAPES = {"NYSE": "A", "ARCA": "B", "AMEX": "B", "BATS": "B"}
_UTP = (
    {"sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "Halt News Pending"},
    {"sc": "T", "sm": "Trading Resumption", "rc": "T3", "rm": "News and Resumption Times"},
)
_CTA = (
    {"sc": "2", "sm": "Trading Halt", "rc": "P", "rm": "News Pending"},
    {"sc": "3", "sm": "Resume", "rc": "D", "rm": "News Released (formerly News Dissemination)"},
)
_NEVER = 2**63 - 1
# By how much a day may be longer than 24 hours, and more.
_SLACK = 180 * MINUTE


@dataclass(frozen=True)
class Halt:
    """Nobody trades `symbol` for `start` <= t < `end` (ns since the epoch, UTC; None: it lasts)."""

    symbol: str
    start: int
    end: int | None

    def covers(self, minutes: NDArray) -> NDArray:
        """Which of the minutes that begin then are halted as a whole."""
        return (minutes >= self.start) & (minutes + MINUTE <= (self.end or _NEVER))

    def statuses(self, exchange: str) -> list[tuple[int, dict[str, str]]]:
        """What tells the halt and its end, but for symbol and time, each with its time."""
        tape = _TAPES.get(exchange, "C")
        halt, resume = _UTP if tape == "C" else _CTA
        told = [(self.start, {**halt, "z": tape})]
        return told if self.end is None else [*told, (self.end, {**resume, "z": tape})]


def traded(
    bars: Bars,
    halts: Iterable[Halt],
    timeframe: Timeframe,
    asset_class: AssetClass,
    minutes: Callable[[int, int], Bars],
) -> Bars:
    """A symbol's bars as they are with these halts of it.

    A bar of which a part was halted is made of the `minutes` (between two times, both inclusive) that remain; where the
    source has none it stays.
    """
    for halt in halts:
        times = bars.times
        span = timeframe.minutes * MINUTE
        ends = times + span if timeframe.intraday else timeframe.starts(times + span + _SLACK, asset_class)
        touched = np.flatnonzero((ends > halt.start) & (times < (halt.end or _NEVER)))
        parts = [_traded(bars[row : row + 1], int(ends[row]), halt, timeframe, asset_class, minutes) for row in touched]
        if parts:
            bars = concatenated([bars[: touched[0]], *parts, bars[touched[-1] + 1 :]])
    return bars


def _traded(
    bar: Bars,
    end: int,
    halt: Halt,
    timeframe: Timeframe,
    asset_class: AssetClass,
    minutes: Callable[[int, int], Bars],
) -> Bars:
    start = int(bar.times[0])
    if halt.start <= start and end <= (halt.end or _NEVER):
        return bar[:0]
    within = bar if timeframe.minutes == 1 else minutes(start, end - 1)
    if not len(within):
        return bar
    return roll_up(within[~halt.covers(within.times)], timeframe, asset_class)
