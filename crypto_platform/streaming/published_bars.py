"""What a feed published last of each bar, for as long as REST may tell it otherwise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_platform.market import bars

_VALUES = tuple(f.wire for f in bars.FIELDS if f.column in bars.BARS.values)

# A bar: its symbol and its start in epoch seconds.
BarKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Version:
    """A bar as it was published: its values, when they were observed, and whether a bar's first telling is older."""

    values: tuple[Any, ...]
    observed_at: datetime
    is_update: bool


def values(bar: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two versions of a bar are compared by."""
    return tuple(bar.get(name) for name in _VALUES)


class PublishedBars:
    """The versions of `symbols`, and of each symbol the last bar that REST has told for good.

    There are millions of bars in a day, so they are kept only while they may be compared; `forget` is to be called.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._versions: dict[str, dict[int, Version]] = {symbol: {} for symbol in symbols}
        self._final: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._versions.values()))

    def get(self, key: BarKey) -> Version | None:
        symbol, start = key
        return self._versions[symbol].get(start)

    def is_final(self, key: BarKey) -> bool:
        """Whether REST has told the bar, or one after it, for good."""
        symbol, start = key
        return start <= self._final.get(symbol, -1)

    def add(self, versions: Mapping[BarKey, Version]) -> None:
        for (symbol, start), version in versions.items():
            self._versions[symbol][start] = version

    def settle(self, final: Mapping[str, int]) -> None:
        """Note by symbol how far REST's bars are told for good."""
        self._final |= final

    def forget(self, before: float) -> None:
        """Let go of the bars that began before then (epoch seconds)."""
        for versions in self._versions.values():
            for old in [start for start in versions if start < before]:
                del versions[old]
