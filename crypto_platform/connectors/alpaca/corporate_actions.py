"""Alpaca's corporate actions of symbols and process dates, flat and with the time at which each was observed.

https://docs.alpaca.markets/reference/corporateactions-1: an answer holds an array a type, sorted by process date over
all of them; start and end are both inclusive.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from crypto_platform.connectors.alpaca.client import AlpacaClient, Query, Traffic
from crypto_platform.connectors.alpaca.errors import TransientError
from crypto_platform.connectors.alpaca.page import PagesBefore, Rows
from crypto_platform.connectors.alpaca.plan import LONGEST_GROUP
from crypto_platform.market.bars import check_symbol
from crypto_platform.market.corporate_actions import encode, flatten, singular
from crypto_platform.market.dataset import check_feed

PAGE_ACTIONS = 1_000  # the API's largest page, counted over all symbols and types

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class CorporateActionsRequest:
    """Actions of a stock feed's symbols with a process date in [start, end).

    Raises:
        ValueError: a name is not of its form, a symbol is there twice, or the range is empty.
    """

    feed: str
    symbols: tuple[str, ...]
    start: date
    end: date

    def __post_init__(self) -> None:
        check_feed(self.feed)
        for symbol in self.symbols:
            check_symbol(symbol, "us_equity")
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"feed {self.feed}: symbols are to be named, each once: {self.symbols}")
        if self.start >= self.end:
            raise ValueError(f"feed {self.feed}: no day in [{self.start}, {self.end})")


@dataclass(frozen=True)
class ObservedAction:
    """An action by the wire names of `market.corporate_actions.FIELDS`, and when its page was asked for (UTC)."""

    action: dict[str, Any]
    observed_at: datetime


def corporate_actions(
    client: AlpacaClient, request: CorporateActionsRequest, traffic: Traffic, stop: threading.Event
) -> Iterator[ObservedAction]:
    """The request's actions, each once, group of symbols by group of symbols.

    An action that concerns several of the symbols, such as a merger, may name another than the asked one as its
    `symbol`. Types that are not known, and values that are wrong, are passed on for the load to judge.

    Raises:
        AlpacaError, CancelledError: see `AlpacaClient.paged`.
    """
    symbols = sorted(request.symbols)
    seen: set[bytes] = set()
    for first in range(0, len(symbols), LONGEST_GROUP):
        group = symbols[first : first + LONGEST_GROUP]
        check = _Check(frozenset(group), request.start, request.end)
        for arrays, observed_at, _ in client.paged(_query(request, group), check, traffic, stop):
            for plural, actions in arrays.items():
                for action in actions:
                    flat = flatten(singular(plural), action)
                    digest = hashlib.blake2b(encode(flat), digest_size=16).digest()
                    if digest not in seen:
                        seen.add(digest)
                        yield ObservedAction(flat, observed_at)


def _query(request: CorporateActionsRequest, symbols: list[str]) -> Query:
    listed = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
    return Query(
        "corporate_actions",
        request.feed,
        "/corporate-actions",
        {
            "symbols": ",".join(symbols),
            "start": str(request.start),
            "end": str(request.end - timedelta(days=1)),
            "limit": PAGE_ACTIONS,
            "sort": "asc",
        },
        f"corporate actions of {listed} [{request.start}, {request.end})",
    )


class _Check(PagesBefore):
    """The check of corporate actions: objects in arrays, of asked symbols, within the process dates.

    What an action does not tell, or tells in a form of its own, is no reason to refuse its page: the load judges it.
    """

    def __init__(self, symbols: frozenset[str], start: date, end: date) -> None:
        super().__init__()
        self._symbols = symbols
        self._start, self._end = str(start), str(end)

    def __call__(self, body: Any) -> tuple[Rows, str | None]:
        try:
            page = {plural: array for plural, array in (body["corporate_actions"] or {}).items() if array}
            token = body["next_page_token"]
            for plural, array in page.items():
                if not isinstance(array, list) or not all(isinstance(action, dict) for action in array):
                    raise TypeError(f"{plural} is no array of objects")
        except (KeyError, TypeError, AttributeError) as exc:
            text = f"not a page of corporate actions: {type(exc).__name__} {str(exc)[:80]}"
            raise TransientError("bad page", text) from None
        for plural, array in page.items():
            for action in array:
                self._check(plural, action)
        return page, self.new(token)

    def _check(self, plural: str, action: dict[str, Any]) -> None:
        symbols = _symbols(action)
        if symbols and symbols.isdisjoint(self._symbols):
            raise TransientError(
                "unasked symbol", f"{plural[:30]} of {', '.join(sorted(symbols))[:40]!r}, which was not requested"
            )
        process_date = action.get("process_date")
        if not isinstance(process_date, str) or not _DATE.fullmatch(process_date):
            return
        if not self._start <= process_date < self._end:
            raise TransientError(
                "outside range", f"{plural[:30]} with process date {process_date} leave the requested range"
            )


def _symbols(action: dict[str, Any]) -> set[str]:
    """Every symbol that an action names, old and new; a reorganization's new ones are in a list of its own."""
    movements = action.get("stock_movements")
    objects = [action, *(m for m in movements if isinstance(m, dict))] if isinstance(movements, list) else [action]
    return {
        value
        for named in objects
        for name, value in named.items()
        if name.endswith("symbol") and isinstance(value, str) and value
    }
