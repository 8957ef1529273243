"""The marts' adjusted closes beside Alpaca's, which come of Alpaca's own corporate actions and code.

Asked for are days of feeds of daily bars, whose closes are Alpaca's own: `adjustment=split` is compared with
`close_split`, `adjustment=all` with `close_total_return`. A factor that differs moves every day before its ex-date; it
is told once, at the last day before, where the ratio of the two prices changes.
"""

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.errors import UnknownSymbolError
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.connectors.snowflake import fact_checks
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.day_ranges import ONE_DAY
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.market_days import midnight

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# Symbols of a sample: those with the newest actions, and a rotation through all others, day by day.
NEWEST, ROTATING = 10, 10
# What two ways to multiply the same factors may differ by; the smallest dividends are some 7e-5 of the price.
RELATIVE_TOLERANCE = 1e-5
ADJUSTMENTS = {"close": "raw", "close_split": "split", "close_total_return": "all"}
# Alpaca's `all` adjusts for spin-offs; its actions do not tell what they are worth, so that the marts cannot.
OTHER_METHOD = ("spin_off", "rights_distribution")

_Closes = dict[str, dict[date, float]]


@dataclass(frozen=True)
class Action:
    """An action of `MARTS.FCT_CORPORATE_ACTIONS`: its type, its ex-date, what is done of it."""

    type: str
    ex_date: date
    status: str


@dataclass(frozen=True)
class Difference:
    """A close of the marts that is not Alpaca's, the newest of those that differ by the same factor, in USD.

    `column` is the marts'; `is_known`: the two methods differ there, and neither is wrong.
    """

    feed: str
    symbol: str
    day: date
    column: str
    ours: float
    theirs: float
    likely_action: str
    is_known: bool = False


@dataclass(frozen=True)
class Comparison:
    """What a sample gave: closes compared of each symbol, and what differs; `requests` that it took."""

    compared: Mapping[str, int]
    differences: Sequence[Difference]
    requests: int


def sampled(connection: "SnowflakeConnection", feed: str, day: date) -> list[str]:
    """Symbols of a feed to compare on `day`, the same whenever it is asked; the next day has others of the rotation."""
    newest = fact_checks.newest_ex_dates(connection, feed)
    symbols = sorted(newest, key=lambda symbol: (-(newest[symbol] or date.min).toordinal(), symbol))
    others = sorted(symbols[NEWEST:])
    first = day.toordinal() * ROTATING % len(others) if others else 0
    return symbols[:NEWEST] + (others[first:] + others[:first])[:ROTATING]


def compare(
    connection: "SnowflakeConnection", client: AlpacaClient, feed: str, spec: FeedSpec, symbols: Sequence[str]
) -> Comparison:
    """The closes of these symbols of a feed of daily bars, on every day that both have.

    Raises:
        AlpacaError: Alpaca did not answer (`AlpacaClient.paged`).
    """
    ours: dict[str, _Closes] = {column: {} for column in ADJUSTMENTS}
    for symbol, day, *closes in fact_checks.adjusted_closes(connection, feed, symbols, list(ADJUSTMENTS)):
        for column, close in zip(ADJUSTMENTS, closes, strict=True):
            ours[column].setdefault(symbol, {})[day] = float(close)
    actions: dict[str, list[Action]] = {}
    for symbol, kind, ex_date, status in fact_checks.actions(connection, feed, symbols):
        actions.setdefault(symbol, []).append(Action(kind, ex_date, status))
    days = sorted({day for closes in ours["close"].values() for day in closes})
    traffic = Traffic()
    theirs: dict[str, _Closes] = {
        column: _theirs(client, feed, spec, tuple(sorted(ours["close"])), days, adjustment, traffic) if days else {}
        for column, adjustment in ADJUSTMENTS.items()
    }
    found: list[Difference] = []
    compared = {}
    for symbol in sorted(symbols):
        of_symbol = {column: (ours[column].get(symbol, {}), theirs[column].get(symbol, {})) for column in ADJUSTMENTS}
        compared[symbol] = len(set.intersection(*(set(closes) for both in of_symbol.values() for closes in both)))
        found += differences(feed, symbol, of_symbol, actions.get(symbol, []))
    return Comparison(compared, found, traffic.requests)


def differences(
    feed: str,
    symbol: str,
    closes: Mapping[str, tuple[Mapping[date, float], Mapping[date, float]]],
    actions: Sequence[Action],
) -> list[Difference]:
    """What differs of a symbol's closes, by column (`ADJUSTMENTS`) the marts' and Alpaca's by day, newest first.

    Both multiply back from their newest day, which is another when Alpaca knows of a later action: the ratio on the
    newest common day is the scale of all. Where the raw closes differ, one of the two has a correction, and the
    adjusted ones say nothing of the factors.
    """
    raw_ours, raw_theirs = closes["close"]
    unit = tolerance(raw_theirs.values())
    corrected = {
        day
        for day in raw_ours.keys() & raw_theirs.keys()
        if abs(raw_ours[day] - raw_theirs[day]) > unit + RELATIVE_TOLERANCE * raw_ours[day]
    }
    found = [
        Difference(feed, symbol, day, "close", raw_ours[day], raw_theirs[day], "none: the bar itself was corrected")
        for day in sorted(corrected, reverse=True)
    ]
    changed: set[date] = set()
    for column in list(ADJUSTMENTS)[1:]:
        ours, theirs = ({d: c for d, c in side.items() if d not in corrected} for side in closes[column])
        for day, after in _changes(ours, theirs):
            # A split that differs does so in the total return as well.
            if day not in changed:
                action, is_known = _likely(actions, day, after)
                found.append(Difference(feed, symbol, day, column, ours[day], theirs[day], action, is_known))
            changed.add(day)
    return found


def tolerance(closes: Iterable[float]) -> float:
    """Half a unit of the last decimal to which these prices are rounded, in USD; to cents at least."""
    decimals = max((len(repr(close).partition(".")[2]) for close in closes if "e" not in repr(close)), default=2)
    return 0.5 * 10.0 ** -max(decimals, 2)


def _changes(ours: Mapping[date, float], theirs: Mapping[date, float]) -> Iterator[tuple[date, date]]:
    """The neighbouring days between which the ratio of the prices changes by more than the tolerance, newest first."""
    unit = tolerance(theirs.values())
    days = sorted(ours.keys() & theirs.keys(), reverse=True)
    # Where the one ratio of the days since the last change may lie: rounding leaves each day a range of it.
    least, most, after = 0.0, math.inf, date.max
    for day in days:
        low = (theirs[day] - unit) / ours[day] * (1 - RELATIVE_TOLERANCE)
        high = (theirs[day] + unit) / ours[day] * (1 + RELATIVE_TOLERANCE)
        if low > most or high < least:
            yield day, after
            least, most = low, high
        least, most, after = max(least, low), min(most, high), day


def _likely(actions: Sequence[Action], day: date, after: date) -> tuple[str, bool]:
    """Which actions fall between two days, in words, and whether the methods differ on them."""
    between = [action for action in actions if day < action.ex_date <= after]
    if not between:
        return f"unknown to the marts, with its ex-date in ({day}, {after}]", False
    said = ", ".join(f"{a.type} of {a.ex_date} ({a.status})" for a in between)
    others = [action for action in between if action.type not in OTHER_METHOD]
    return said, not others


def _theirs(
    client: AlpacaClient,
    feed: str,
    spec: FeedSpec,
    symbols: tuple[str, ...],
    days: Sequence[date],
    adjustment: str,
    traffic: Traffic,
) -> _Closes:
    """Alpaca's closes by symbol and day; of a symbol that Alpaca does not know, none."""
    start, end = days[0], days[-1] + ONE_DAY
    request = BarsRequest(
        feed, spec.asset_class, symbols, Timeframe.parse(spec.timeframe), start, end, spec.alpaca_feed, adjustment
    )
    first, until = (midnight(spec.asset_class, day) for day in (start, end))
    found: _Closes = {}
    try:
        for page in client.pages(request, symbols, first, until, traffic, threading.Event()):
            for symbol, bars in page.bars.items():
                found.setdefault(symbol, {}).update({_day(bar): float(bar["c"]) for bar in bars})
    except UnknownSymbolError as unknown:
        known = tuple(symbol for symbol in symbols if symbol != unknown.symbol)
        return _theirs(client, feed, spec, known, days, adjustment, traffic) if known else {}
    return found


def _day(bar: Mapping[str, Any]) -> date:
    return datetime.fromisoformat(bar["t"]).date()
