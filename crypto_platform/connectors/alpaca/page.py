"""A page of Alpaca's answers, and the check that it is what was asked for."""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any, Protocol

from crypto_platform.connectors.alpaca.errors import TransientError

Rows = dict[str, list[dict[str, Any]]]
Bars = Rows

_TIMES = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)*")


@dataclass(frozen=True)
class Page:
    """One page: Alpaca's bar objects by symbol, ascending; `observed_at` (UTC) when it was asked for."""

    bars: Bars
    observed_at: datetime
    last: bool


class Check(Protocol):
    """Whether a page is what was asked for, given the pages accepted before it."""

    def __call__(self, body: Any) -> tuple[Rows, str | None]:
        """The page's rows by name and its token.

        Raises:
            TransientError: the body is not such a page.
        """
        ...

    def repeats(self, rows: Rows) -> bool: ...

    def accept(self, rows: Rows, token: str | None) -> None: ...


class PagesBefore:
    """What is kept of the pages accepted so far, to tell one that comes again."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._previous = ""

    def repeats(self, rows: Rows) -> bool:
        """Whether these are the rows of the page before: nothing new, nothing lost."""
        return bool(rows) and _ends(rows) == self._previous

    def accept(self, rows: Rows, token: str | None) -> None:
        """Go on from this page; one without rows leaves the page before in mind."""
        if rows:
            self._previous = _ends(rows)
        if token is not None:
            self._tokens.add(token)

    def new(self, token: Any) -> str | None:
        """The token.

        Raises:
            TransientError: it is none, or leads back.
        """
        if token is not None and (not isinstance(token, str) or token in self._tokens):
            raise TransientError("repeated token", "the page's token leads back to an earlier page")
        return token


class PageCheck(PagesBefore):
    """The check of bars: only asked symbols, within the range, strictly ascending per symbol over all pages."""

    def __init__(self, symbols: frozenset[str], start: datetime, end: datetime) -> None:
        super().__init__()
        self._symbols = symbols
        self._start = f"{start:%Y-%m-%dT%H:%M:%SZ}"
        self._end = f"{end:%Y-%m-%dT%H:%M:%SZ}"
        self._newest: dict[str, str] = {}

    def __call__(self, body: Any) -> tuple[Bars, str | None]:
        """The page's bars by symbol and its token.

        Raises:
            TransientError: the body is not such a page.
        """
        try:
            bars, token = body["bars"] or {}, body["next_page_token"]
            page = {symbol: rows for symbol, rows in bars.items() if rows}
            if self.repeats(page):
                return page, self.new(token)
            for symbol, rows in page.items():
                self._check(symbol, [row["t"] for row in rows])
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise TransientError("bad page", f"not a page of bars: {type(exc).__name__} {str(exc)[:80]}") from None
        return page, self.new(token)

    def accept(self, rows: Rows, token: str | None) -> None:
        super().accept(rows, token)
        self._newest.update({symbol: bars[-1]["t"] for symbol, bars in rows.items()})

    def _check(self, symbol: str, times: list[str]) -> None:
        # Times of one form compare as text; it is the page's most frequent work.
        if symbol not in self._symbols:
            raise TransientError("unasked symbol", f"bars of {symbol[:20]!r}, which was not requested")
        if not _TIMES.fullmatch("".join(times)) or len(times[0]) != 20:
            raise TransientError("bad page", f"a bar time of {symbol} is not of the form 2026-03-01T00:00:00Z")
        for day in {time[:10] for time in times}:
            date.fromisoformat(day)
        if not all(map(str.__lt__, times, islice(times, 1, None))) or times[0] <= self._newest.get(symbol, ""):
            raise TransientError("not ascending", f"bars of {symbol} repeat or go back near {times[0]}")
        if times[0] < self._start or times[-1] >= self._end:
            raise TransientError(
                "outside range", f"bars of {symbol} from {times[0]} to {times[-1]} leave the requested range"
            )


def _ends(rows: Rows) -> str:
    """What tells a page from another: of each name the count, the first and the last row."""
    return json.dumps({name: [len(found), found[0], found[-1]] for name, found in rows.items()})
