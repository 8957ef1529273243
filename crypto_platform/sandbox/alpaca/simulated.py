"""Simulated bars: a price that is a function of the seed, the symbol and the minute, so that any minute of
any symbol can be asked for alone, and is the same whenever and in whatever order it is asked for.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, product
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from crypto_platform.market.bars import SYMBOL_PATTERNS, AssetClass
from crypto_platform.sandbox.alpaca.adjustments import RAW, adjusted
from crypto_platform.sandbox.alpaca.columns import Bars, no_bars
from crypto_platform.sandbox.alpaca.corporate_actions import Action
from crypto_platform.sandbox.alpaca.sessions import extended_sessions
from crypto_platform.sandbox.alpaca.simulated_actions import Schedule, schedule, symbol_of
from crypto_platform.sandbox.alpaca.symbol_names import NameChange
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, Timeframe, roll_up

EARLIEST = int(np.datetime64("1990-01-01", "ns").astype(np.int64))
ALWAYS_ON = "FAKEPACA"  # https://docs.alpaca.markets/docs/streaming-market-data: the test stream's symbol
# Minutes computed for one page at most: a page of days is a short one.
MINUTES_A_PAGE = 1_500_000
LISTED = 11_000

# Length in minutes and height (of the logarithm of the price) of the waves a price is made of.
_WAVES = (
    (3 * 525_960.0, 0.45),
    (525_960.0, 0.25),
    (61_517.0, 0.08),
    (10_080.0, 0.02),
    (1_440.0, 0.006),
    (97.0, 0.001),
)


@dataclass(frozen=True)
class _Character:
    """What distinguishes a symbol: its price level and decimals, its waves' phases, its volume, its noise."""

    key: np.uint64
    level: float
    decimals: int
    phases: tuple[float, ...]
    volume: float


class Simulated:
    """Every well-formed symbol, every minute from 1990 up to now: crypto around the clock, stocks in the
    extended hours of New York's sessions. Longer timeframes are rolled up from the minutes. A bar
    is served once it is over."""

    label = "simulated"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.corporate_actions = SimulatedActions(self)
        self._characters: dict[str, _Character] = {}
        self._schedules: dict[str, Schedule] = {}

    def description(self) -> list[str]:
        return [f"bars computed from the seed {self.seed}, for any symbol, up to now; no market ever made them"]

    def symbols(self, asset_class: AssetClass) -> list[str]:
        """What `*` stands for in a stream subscription."""
        return {"crypto": ["BTC/USD", "ETH/USD"], "us_equity": ["AAPL", "NVDA", "SPY"]}[asset_class]

    def listed(self, asset_class: AssetClass) -> list[str]:
        """The symbols of the list of assets: about as many stocks as Alpaca has."""
        symbols = self.symbols(asset_class)
        if asset_class == "us_equity":
            symbols = symbols + ["".join(letters) for letters in islice(product(ascii_uppercase, repeat=3), LISTED)]
        return sorted(set(symbols))

    def knows(self, symbol: str, asset_class: AssetClass) -> bool:
        return re.fullmatch(SYMBOL_PATTERNS[asset_class], symbol) is not None

    def first_minute(self) -> None:
        """Where a stream begins by itself: live, as of now."""

    def most(self, timeframe: Timeframe) -> int:
        """How many bars one page may hold at most."""
        return max(1, MINUTES_A_PAGE // timeframe.minutes)

    def bars(
        self,
        symbol: str,
        asset_class: AssetClass,
        timeframe: Timeframe,
        first: int,
        last: int,
        limit: int,
        descending: bool = False,
        adjustment: frozenset[str] = RAW,
    ) -> Bars:
        """The first (descending: the last) `limit` bars with first <= t <= last (ns, UTC), ascending."""
        now = time.time_ns()
        first = max(first, EARLIEST)
        last = min(last, now)
        if first > last or limit < 1:
            return no_bars()
        if str(timeframe) == "1Min":
            last = min(last, now // MINUTE * MINUTE - MINUTE)
            times = self._times(symbol, asset_class, first, last, limit, descending)
            return self._minutes(symbol, asset_class, times, adjustment)
        return self._rolled(symbol, asset_class, timeframe, first, last, limit, descending, now, adjustment)

    def _rolled(
        self,
        symbol: str,
        asset_class: AssetClass,
        timeframe: Timeframe,
        first: int,
        last: int,
        limit: int,
        descending: bool,
        now: int,
        adjustment: frozenset[str],
    ) -> Bars:
        span = timeframe.minutes * MINUTE
        # Whole intervals only: from the start of the first one to the end of the last one that is over.
        low = int(timeframe.starts(np.array([first]), asset_class)[0])
        running = int(timeframe.starts(np.array([now]), asset_class)[0])
        high = min(running, int(timeframe.starts(np.array([last]), asset_class)[0]) + span + 3 * 60 * MINUTE)
        # Enough for crypto; stocks, which sleep at night and on weekends, may need another, longer look.
        window = (limit + 2) * span
        while True:
            a, b = (max(low, high - window), high) if descending else (low, min(high, low + window))
            a = int(timeframe.starts(np.array([a]), asset_class)[0])
            whole = int(timeframe.starts(np.array([b]), asset_class)[0]) if b < high else b
            times = self._times(symbol, asset_class, a, whole - 1, None, False)
            rolled = roll_up(self._minutes(symbol, asset_class, times, adjustment), timeframe, asset_class)
            rolled = rolled.between(first, last)
            if len(rolled) >= limit or (a <= low and b >= high):
                return rolled[-limit:] if descending else rolled[:limit]
            window *= 3

    def _times(
        self,
        symbol: str,
        asset_class: AssetClass,
        first: int,
        last: int,
        limit: int | None,
        descending: bool,
    ) -> NDArray:
        """Starts of the minutes in [first, last] that have a bar."""
        start = -(-first // MINUTE) * MINUTE
        if asset_class == "crypto" or symbol == ALWAYS_ON:
            count = max(0, (last - start) // MINUTE + 1)
            if limit is not None and count > limit:
                if descending:
                    start += (count - limit) * MINUTE
                count = limit
            return start + np.arange(count, dtype=np.int64) * MINUTE
        opens, closes = extended_sessions()
        a, b = np.searchsorted(closes, start, "right"), np.searchsorted(opens, last, "right")
        opens, closes = (
            np.maximum(opens[a:b], start),
            np.minimum(closes[a:b], last // MINUTE * MINUTE + MINUTE),
        )
        counts = np.maximum((closes - opens) // MINUTE, 0)
        if limit is not None and counts.sum() > limit:
            enough = int(np.searchsorted(np.cumsum(counts[::-1] if descending else counts), limit)) + 1
            kept = slice(len(counts) - enough, None) if descending else slice(enough)
            opens, counts = opens[kept], counts[kept]
        before = np.repeat(np.cumsum(counts) - counts, counts)
        times = np.repeat(opens, counts) + (np.arange(len(before), dtype=np.int64) - before) * MINUTE
        if limit is None:
            return times
        return times[-limit:] if descending else times[:limit]

    def _character(self, symbol: str) -> _Character:
        if symbol not in self._characters:
            digest = hashlib.blake2b(f"{self.seed}|{symbol}".encode(), digest_size=64).digest()
            key, *words = np.frombuffer(digest, "<u8")
            shares = [float(word) / 2**64 for word in words]
            level = 10 ** (1.2 + 3.2 * shares[0])
            self._characters[symbol] = _Character(
                key=key,
                level=level,
                decimals=2 if level >= 100 else 4,
                phases=tuple(2 * np.pi * share for share in shares[1:]),
                volume=10 ** (5.5 - np.log10(level)),
            )
        return self._characters[symbol]

    def schedule(self, symbol: str) -> Schedule:
        """The actions of a stock."""
        if symbol not in self._schedules:
            who = self._character(symbol)

            def prices_at(times: NDArray) -> NDArray:
                return _price(who, times // MINUTE, _noise(who.key, times // MINUTE))

            self._schedules[symbol] = schedule(
                symbol, lambda numbers: _shares(_noise(~who.key, numbers)), prices_at, who.decimals
            )
        return self._schedules[symbol]

    def _minutes(self, symbol: str, asset_class: AssetClass, times: NDArray, adjustment: frozenset[str]) -> Bars:
        who = self._character(symbol)
        acts = asset_class == "us_equity" and symbol != ALWAYS_ON
        scale = self.schedule(symbol).price_at(times) if acts else 1.0
        minutes = times // MINUTE
        noise = _noise(who.key, minutes)
        shares = _shares(noise)
        opens = _close(who, minutes - 1, _noise(who.key, minutes - 1), scale)
        closes = _close(who, minutes, noise, scale)
        top, bottom = np.maximum(opens, closes), np.minimum(opens, closes)
        highs = np.maximum(np.round(top * (1 + 0.0006 * shares[1]), who.decimals), top)
        lows = np.minimum(np.round(bottom * (1 - 0.0006 * shares[2]), who.decimals), bottom)
        vwaps = np.clip(np.round(lows + (highs - lows) * (0.25 + shares[3] / 2), 6), lows, highs)
        # Crypto minutes without a trade keep moving prices and a VWAP that is a price; a stock minute without
        # a trade has no bar, so every one here has traded.
        quiet = shares[3] < 0.2 if asset_class == "crypto" else np.zeros(len(times), bool)
        counts = np.where(quiet, 0, 1 + (shares[1] * 400 * shares[2]).astype(np.int64))
        traded = (
            who.volume * (0.02 + shares[2]) * counts / 200 * (self.schedule(symbol).shares_at(times) if acts else 1)
        )
        sizes = np.round(np.maximum(traded, 1e-8), 8) if asset_class == "crypto" else np.ceil(traded * 20)
        bars = Bars(
            {
                "t": times,
                "o": opens,
                "h": highs,
                "l": lows,
                "c": closes,
                "v": np.where(quiet, 0.0, sizes),
                "n": counts,
                "vw": vwaps,
            }
        )
        return adjusted(bars, self.schedule(symbol).changes, adjustment, time.time_ns()) if acts else bars


class SimulatedActions:
    """The actions of the simulated stocks: of any that are asked for, else of those that `*` stands for."""

    name_changes: Sequence[NameChange] = ()

    def __init__(self, source: Simulated) -> None:
        self._source = source

    def description(self) -> list[str]:
        return ["their splits and dividends since 1990"]

    def between(self, symbols: tuple[str, ...], first: date, last: date) -> list[Action]:
        asked = symbols or self._source.symbols("us_equity")
        return [action for symbol in asked for action in self._schedule(symbol, first, last)]

    def with_ids(self, ids: tuple[str, ...]) -> list[Action]:
        symbols = {symbol for symbol in map(symbol_of, ids) if symbol and self._source.knows(symbol, "us_equity")}
        found = self.between(tuple(symbols), date.min, date.max) if symbols else []
        return [action for action in found if action.body["id"] in ids]

    def _schedule(self, symbol: str, first: date, last: date) -> list[Action]:
        return [] if symbol == ALWAYS_ON else self._source.schedule(symbol).between(first, last)


def _noise(key: np.uint64, minutes: NDArray) -> NDArray:
    """64 random bits a minute: SplitMix64's finaliser (Steele et al.: Fast Splittable PRNGs, 2014)."""
    bits = minutes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _shares(noise: NDArray) -> list[NDArray]:
    """The four numbers of [0, 1) in 64 random bits."""
    return [((noise >> np.uint64(16 * part)) & np.uint64(0xFFFF)) / 65536.0 for part in range(4)]


def _close(who: _Character, minutes: NDArray, noise: NDArray, scale: NDArray | float) -> NDArray:
    """The price at the end of each minute, to the symbol's decimals; `scale` is what actions have made of it."""
    return np.round(_price(who, minutes, noise) * scale, who.decimals)


def _price(who: _Character, minutes: NDArray, noise: NDArray) -> NDArray:
    drift = ((noise & np.uint64(0xFFFF)) / 65536.0 - 0.5) * 0.001
    for (length, height), phase in zip(_WAVES, who.phases, strict=True):
        drift = drift + height * np.sin(minutes * (2 * np.pi / length) + phase)
    return who.level * np.exp(drift)
