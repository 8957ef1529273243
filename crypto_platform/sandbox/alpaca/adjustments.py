"""Bars adjusted for splits and dividends, as Alpaca's parameter `adjustment` asks for it.

From the ex-date of a split of `new_rate` for `old_rate` back, prices are multiplied by old/new and volumes by new/old;
from that of a cash dividend D back, prices by 1 - D/C, C the raw close of the last session before. The rule is CRSP's
and that of Lean's factor files; the platform has code of its own for it, which this is there to be compared with.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto_platform.sandbox.alpaca.columns import PRICES, Bars
from crypto_platform.sandbox.alpaca.corporate_actions import Action
from crypto_platform.sandbox.alpaca.sessions import midnight

SPLIT, DIVIDEND = "split", "dividend"
RAW: frozenset[str] = frozenset()

# The names of a symbol, the old and the new rate by type; a stock dividend's rate is new shares a share.
_SPLITS = {
    "forward_splits": ("symbol", "old_rate", "new_rate"),
    "reverse_splits": ("symbol", "old_rate", "new_rate"),
    "unit_splits": ("old_symbol", "old_rate", "new_rate"),
}


@dataclass(frozen=True)
class Change:
    """What an action does to what came before `ex` (ns since the epoch, UTC: the ex-date's midnight in New York)."""

    ex: int
    kind: str
    price: float
    volume: float


def changes(symbol: str, actions: Iterable[Action], close_before: Callable[[int], float | None]) -> list[Change]:
    """The changes of a symbol's actions; an action that is wrong or of another symbol changes nothing.

    `close_before` gives the raw close of the last session before a time, None where there is none.
    """
    found = (_change(symbol, action, close_before) for action in actions)
    return [change for change in found if change]


def _change(symbol: str, action: Action, close_before: Callable[[int], float | None]) -> Change | None:
    body = action.body
    try:
        day = date.fromisoformat(body.get("ex_date") or body["effective_date"])
    except (KeyError, TypeError, ValueError):
        return None
    ex = midnight(day, "us_equity")
    if action.plural in _SPLITS:
        whose, *rates = _SPLITS[action.plural]
        old, new = (_positive(body.get(name)) for name in rates)
        return Change(ex, SPLIT, old / new, new / old) if body.get(whose) == symbol and old and new else None
    rate = _positive(body.get("rate"))
    if body.get("symbol") != symbol or not rate:
        return None
    if action.plural == "stock_dividends":
        return Change(ex, SPLIT, 1 / (1 + rate), 1 + rate)
    if action.plural == "cash_dividends" and (close := close_before(ex)) and rate < close:
        return Change(ex, DIVIDEND, 1 - rate / close, 1.0)
    return None


def _positive(rate: Any) -> float | None:
    """The rate where it is a positive number, else None."""
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    return float(rate) if is_number and math.isfinite(rate) and rate > 0 else None


def adjusted(bars: Bars, found: Iterable[Change], kinds: frozenset[str], newest: int) -> Bars:
    """Bars as they look from `newest` (ns, UTC) on: changes that come later are not known yet."""
    due = sorted((change for change in found if change.kind in kinds and change.ex <= newest), key=lambda c: c.ex)
    if not due or not len(bars):
        return bars
    following = np.searchsorted([change.ex for change in due], bars.times, "right")
    price = _product_of_the_rest([change.price for change in due])[following]
    volume = _product_of_the_rest([change.volume for change in due])[following]
    # Alpaca's stock volumes are whole numbers.
    columns = {"v": np.round(bars.columns["v"] * volume)}
    columns |= {name: bars.columns[name] * price for name in (*PRICES, "vw") if name in bars.columns}
    return bars.replaced(**columns)


def _product_of_the_rest(factors: list[float]) -> NDArray:
    """At i the product of the factors from i on; past the last of them 1."""
    return np.cumprod([1.0, *reversed(factors)])[::-1]
