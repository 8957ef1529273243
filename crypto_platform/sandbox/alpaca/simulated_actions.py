"""Simulated corporate actions: when a simulated stock splits and what it pays, from the seed and the symbol alone.

Since 1990 a stock pays once a quarter, and splits about every four years. The bars take their prices from here too, so
that an action and what the market makes of it are one fact.
"""

import time
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto_platform.sandbox.alpaca.adjustments import DIVIDEND, SPLIT, Change
from crypto_platform.sandbox.alpaca.corporate_actions import Action
from crypto_platform.sandbox.alpaca.sessions import DAY, from_new_york, regular_sessions, to_new_york, today

QUARTERS_A_SPLIT = 12
SPLIT_CHANCE = 0.75
# New shares for old ones.
FORWARD = ((2, 1), (3, 1), (4, 1), (3, 2))
REVERSE = (1, 10)
# A split that would make more shares than these of one of 1990 is a reverse one instead, so that prices stay prices.
MOST_SHARES = 8.0
PAYABLE_SESSIONS_LATER = 10
_PLURALS = ("forward_splits", "reverse_splits", "cash_dividends")


@dataclass(frozen=True)
class _Event:
    """At the beginning of a session `new` shares come for `old`; where `cash` is set, that is paid for each instead."""

    session: int
    new: int = 1
    old: int = 1
    cash: float | None = None


@dataclass(frozen=True)
class Schedule:
    """What a symbol's actions make of its price, and the actions themselves.

    At a time the price is multiplied by `price[i]` and the number of shares by `shares[i]`, i the number of `changes`
    (ascending) that have come.
    """

    symbol: str
    events: list[_Event]
    changes: list[Change]
    price: NDArray
    shares: NDArray

    @cached_property
    def actions(self) -> list[Action]:
        """By process date."""
        return sorted((_action(self.symbol, event) for event in self.events), key=lambda action: action.place)

    @cached_property
    def _ex(self) -> NDArray:
        return np.array([change.ex for change in self.changes], np.int64)

    def price_at(self, times: NDArray) -> NDArray:
        return self.price[np.searchsorted(self._ex, times, "right")]

    def shares_at(self, times: NDArray) -> NDArray:
        return self.shares[np.searchsorted(self._ex, times, "right")]

    def between(self, first: date, last: date) -> list[Action]:
        """Those with first <= process date <= last whose ex-date has come; nothing is announced ahead."""
        low = bisect_left(self.actions, first, key=lambda action: action.process_date)
        high = bisect_right(self.actions, last, key=lambda action: action.process_date)
        now = str(today(time.time_ns(), "us_equity"))
        return [action for action in self.actions[low:high] if action.body["ex_date"] <= now]


@lru_cache(maxsize=1)
def _sessions() -> tuple[NDArray, NDArray, list[str]]:
    """Of each session: midnight in New York and the last minute of regular hours (ns, UTC), and its date."""
    opens, closes = regular_sessions()
    days = to_new_york(opens) // DAY
    return from_new_york(days * DAY), closes - 60 * 10**9, list(map(str, days.astype("M8[D]")))


def schedule(
    symbol: str, draw: Callable[[NDArray], list[NDArray]], prices_at: Callable[[NDArray], NDArray], decimals: int
) -> Schedule:
    """The schedule of a symbol.

    `draw` gives four numbers of [0, 1) for each whole number; `prices_at` the price without actions at the end of each
    minute (ns, UTC), which bars show to `decimals`.
    """
    midnights, last_minutes, dates = _sessions()
    moments = _moments(draw, dates)
    order = sorted(moments)
    unscaled = prices_at(last_minutes[np.array(order) - 1])
    events, changes, prices, counts = [], [], [1.0], [1.0]
    for session, ex, price in zip(order, midnights[order].tolist(), unscaled, strict=True):
        kind, share = moments[session]
        if kind == SPLIT:
            new, old = FORWARD[int(share * len(FORWARD))]
            if counts[-1] * new / old > MOST_SHARES:
                new, old = REVERSE
            events.append(_Event(session, new, old))
            changes.append(Change(ex, SPLIT, old / new, new / old))
        else:
            close = float(np.round(price * prices[-1], decimals))
            cash = max(round(close * (0.002 + 0.004 * share), 4), 0.0001)
            events.append(_Event(session, cash=cash))
            changes.append(Change(ex, DIVIDEND, 1 - cash / close, 1.0))
        prices.append(prices[-1] * changes[-1].price)
        counts.append(counts[-1] * changes[-1].volume)
    return Schedule(symbol, events, changes, np.array(prices), np.array(counts))


def _action(symbol: str, event: _Event) -> Action:
    dates = _sessions()[2]
    cusip = f"SIM{symbol[:6]:0>6}"
    body: dict[str, Any] = {"symbol": symbol, "ex_date": dates[event.session], "process_date": dates[event.session]}
    if event.cash is not None:
        payable = dates[event.session + PAYABLE_SESSIONS_LATER]
        body |= {"record_date": body["ex_date"], "payable_date": payable, "process_date": payable}
        body |= {"rate": event.cash, "special": False, "foreign": False, "cusip": cusip}
        plural = "cash_dividends"
    elif event.new > event.old:
        body |= {"new_rate": event.new, "old_rate": event.old, "cusip": cusip}
        plural = "forward_splits"
    else:
        body |= {"new_rate": event.new, "old_rate": event.old, "old_cusip": cusip, "new_cusip": cusip}
        plural = "reverse_splits"
    return Action.of(plural, {"id": _id(symbol, plural, event.session), **body})


@lru_cache(maxsize=1)
def _quarters() -> list[int]:
    """The first session of each quarter."""
    quarters = np.array(_sessions()[2], "M8[M]").astype(np.int64) // 3
    return [int(start) for start in np.flatnonzero(np.r_[True, quarters[1:] != quarters[:-1]])]


def _moments(draw: Callable[[NDArray], list[NDArray]], dates: list[str]) -> dict[int, tuple[str, float]]:
    """What happens at which session, and the share that decides how much."""
    starts = _quarters()
    moments: dict[int, tuple[str, float]] = {}
    drawn = np.array(draw(np.arange(len(starts)))).T.tolist()
    for number, (start, (when, much, happens, which)) in enumerate(zip(starts, drawn, strict=True)):
        # Weeks away from the quarter's ends, so that two dividends never meet.
        moments[start + 10 + int(when * 35)] = (DIVIDEND, much)
        if number % QUARTERS_A_SPLIT == 0:
            in_span = int(which * QUARTERS_A_SPLIT)
            if happens < SPLIT_CHANCE and number + in_span < len(starts):
                moments[starts[number + in_span] + 1 + int(when * 8)] = (SPLIT, much)
    latest = len(dates) - PAYABLE_SESSIONS_LATER
    return {session: moment for session, moment in moments.items() if session < latest}


def _id(symbol: str, plural: str, session: int) -> str:
    """A UUID, as Alpaca's ids are, that says what it is of: see `symbol_of`."""
    head = bytes([_PLURALS.index(plural)]) + session.to_bytes(4, "big")
    return str(uuid.UUID(bytes=head + symbol.encode().ljust(11, b"\0")))


def symbol_of(action_id: str) -> str | None:
    """The symbol of a simulated action's id, None for any other text."""
    try:
        return uuid.UUID(action_id).bytes[5:].rstrip(b"\0").decode("ascii") or None
    except ValueError:
        return None
