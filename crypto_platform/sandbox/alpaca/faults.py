"""Faults on demand: what a test or a demo arms, and how often each one fired."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol, TypeVar

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca import corporate_actions
from crypto_platform.sandbox.alpaca.answers import JSON, json_response, message
from crypto_platform.sandbox.alpaca.columns import PRICES, Bars
from crypto_platform.sandbox.alpaca.halts import Halt
from crypto_platform.sandbox.alpaca.paging import Page, Position, Query
from crypto_platform.sandbox.alpaca.sessions import DAY

# What answers instead of a page.
RESPONSES = {
    "rate_limit": "429, with X-RateLimit-Reset `seconds` (1) from now",
    "server_error": "500",
    "gateway_timeout": "504",
    "html": "502 with an HTML body",
    "hang": "no answer until the client gives up, for `seconds` (300) at most",
    "half_body": "half of the page, then the connection is cut",
}
# What happens to the page's token.
TOKENS = {
    "looping_token": "the next page's token is this page's own, again and again",
    "duplicated_page": "the next page repeats this one under a new token",
}
# What happens to the matching bars: to all of them …
BARS = {
    "empty": "no bars, and no corporate actions",
    "corrected": "high, close and volume are higher, as after a late trade",
}
# … or to the first of them in the page.
ONE_BAR = {
    "nan": "the close is NaN",
    "inverted": "high and low change places, and differ",
    "future": "the start is tomorrow",
    "off_grid": "the start is 7 seconds late",
    "spike": "high and close are ten times as high: a bar that breaks no rule",
}
# What happens to the fields of every bar of the page.
FIELDS = {
    "new_field": "bars have a field x besides",
    "renamed_field": "the open is called open, no longer o",
}
STREAMS = {
    "mute": "the stream stays open and sends nothing",
    "disconnect": "the stream's connection is cut",
    "slow_client": "407, then the stream's connection is closed",
    "drop": "every other bar of the message is left out",
    "duplicate": "the message comes twice",
    "reorder": "the message comes after the next one, its bars in reverse",
}
# What happens to a stock, on the stream and by REST.
HALTS = {
    "halt": "the stock `symbol` of `match` is halted from its `start` to its `end`: no bars of it meanwhile; the "
    "stream's channel `statuses` tells both, at the latest with the next minute",
}
# What a stream's client is refused with …
REFUSALS = {
    "auth_failed": "402 in answer to the stream's key",
    "auth_timeout": "404 in answer to the stream's key",
    "connection_limit": "406 in answer to the stream's key",
    "symbol_limit": "405 in answer to a subscription",
}
KINDS = RESPONSES | TOKENS | BARS | ONE_BAR | FIELDS | STREAMS | HALTS | REFUSALS
_UNTIL_CLEARED = {"looping_token", "empty", "corrected", "mute", *FIELDS, *HALTS}
_SECONDS = {"rate_limit": 1.0, "hang": 300.0}


class Asked(Protocol):
    """What of a request decides whether a fault is for it; `first` and `last` are ns since the epoch, UTC."""

    @property
    def dataset(self) -> str: ...

    @property
    def asset_class(self) -> AssetClass: ...

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...


_Position = TypeVar("_Position", Position, corporate_actions.Position)


class Match(BaseModel):
    """Which requests and bars a fault is for; nothing set: all. Of bars it is for start <= t < end.

    Of corporate actions likewise, by the midnight (UTC) of the process date.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Literal["bars", "corporate_actions"] | None = None
    asset_class: AssetClass | None = None
    symbol: str | None = None
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None

    def covers(self, asset_class: AssetClass, symbols: Iterable[str]) -> bool:
        return self.asset_class in (None, asset_class) and (self.symbol is None or self.symbol in symbols)

    def span(self) -> tuple[float, float]:
        """The half-open range of ns since the epoch."""
        return (
            _ns(self.start) if self.start else float("-inf"),
            _ns(self.end) if self.end else float("inf"),
        )


class Fault(BaseModel):
    """An armed fault. It passes over `skip` chances, then fires `times` times (None: until it is cleared)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[tuple(KINDS)]  # type: ignore[valid-type]
    times: Annotated[int, Field(ge=1)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    match: Match = Match()
    _fired: int = PrivateAttr(0)
    _passed: int = PrivateAttr(0)

    def model_post_init(self, context: object, /) -> None:
        if "times" not in self.model_fields_set and self.kind not in _UNTIL_CLEARED:
            self.times = 1
        if self.seconds is None:
            self.seconds = _SECONDS.get(self.kind)

    @model_validator(mode="after")
    def _is_of_something(self) -> "Fault":
        if self.kind in HALTS and not (self.match.symbol and self.match.start):
            raise ValueError("a halt needs the symbol and the start of its match")
        return self

    @property
    def spent(self) -> bool:
        return self.times is not None and self._fired >= self.times

    def fires(self) -> bool:
        """Use one chance: whether the fault fires now."""
        if self.spent:
            return False
        if self._passed < self.skip:
            self._passed += 1
            return False
        self._fired += 1
        return True

    def state(self) -> dict[str, object]:
        return {**self.model_dump(mode="json", exclude_none=True), "times": self.times, "fired": self._fired}

    async def respond(self, request: Request, page: bytes, headers: dict[str, str]) -> Response:
        """The answer of one of RESPONSES, in place of `page`."""
        if self.kind == "rate_limit":
            reset = {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int(time.time() + self._wait) + 1),
            }
            return message(429, "too many requests.", headers | reset)
        if self.kind == "html":
            return Response("<html><body><h1>502 Bad Gateway</h1></body></html>", 502, media_type="text/html")
        if self.kind == "half_body":
            return _HalfResponse(page, headers=headers, media_type=JSON)
        if self.kind == "hang":
            await _until_disconnected(request, self._wait)
        return (
            message(500, "internal server error")
            if self.kind == "server_error"
            else message(504, "upstream request timeout")
        )

    @property
    def _wait(self) -> float:
        return self.seconds or 0.0


class Faults:
    """The armed faults, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: dict[int, Fault] = {}
        self._ids = itertools.count(1)

    def arm(self, fault: Fault) -> int:
        number = next(self._ids)
        self._armed[number] = fault
        return number

    def take(self, kinds: Iterable[str], asset_class: AssetClass, symbols: Iterable[str]) -> Fault | None:
        """The first armed fault of these kinds that matches and fires."""
        for fault in self._armed.values():
            if fault.kind in kinds and fault.match.covers(asset_class, symbols) and fault.fires():
                return fault
        return None

    def halts(self, symbol: str) -> list[tuple[Halt, Fault]]:
        """The halts of a stock, each with the fault that it is."""
        return [
            (Halt(symbol, _ns(fault.match.start), _ns(fault.match.end) if fault.match.end else None), fault)
            for fault in self._armed.values()
            if fault.kind in HALTS and fault.match.symbol == symbol and fault.match.start
        ]

    def response_to(self, query: Asked) -> Fault | None:
        """The fault, if any, that answers in place of a page."""
        for fault in self._armed.values():
            if fault.kind in RESPONSES and _concerns(fault.match, query) and fault.fires():
                return fault
        return None

    def alter(self, query: Query, page: Page) -> Page:
        """The page as the armed faults leave it."""
        following = self._alter_position(query, query.position, page.next)
        return Page(self.alter_bars(query.asset_class, page.bars), following)

    def alter_actions(self, query: corporate_actions.Query, page: corporate_actions.Page) -> corporate_actions.Page:
        """The page of corporate actions as the armed faults leave it."""
        following = self._alter_position(query, query.position, page.next)
        actions = page.actions
        for fault in self._armed.values():
            if fault.kind == "empty" and _concerns(fault.match, query):
                left = [action for action in actions if not _covers(fault.match, action)]
                if len(left) < len(actions) and fault.fires():
                    actions = left
        return corporate_actions.Page(actions, following)

    def alter_bars(self, asset_class: AssetClass, bars: dict[str, Bars]) -> dict[str, Bars]:
        """Bars by symbol as the armed faults leave them; a symbol without a bar left is gone."""
        for fault in self._armed.values():
            is_for_bars = fault.kind in BARS | ONE_BAR and fault.match.dataset in (None, "bars")
            if is_for_bars and fault.match.asset_class in (None, asset_class):
                bars = _alter(fault, bars)
        return bars

    def _alter_position(self, query: Asked, position: _Position, following: _Position | None) -> _Position | None:
        for fault in self._armed.values():
            if fault.kind in TOKENS and _concerns(fault.match, query) and fault.fires():
                following = replace(position, turn=position.turn + (fault.kind == "duplicated_page"))
        return following

    def reword(self, query: Query, content: bytes) -> bytes:
        """The page's JSON with its bars' fields as the armed faults leave them."""
        for fault in self._armed.values():
            if fault.kind in FIELDS and _concerns(fault.match, query) and fault.fires():
                content = content.replace(*_REWORDED[fault.kind])
        return content

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/faults", self._list, methods=["GET"]),
            Route("/sandbox/faults", self._arm, methods=["POST"]),
            Route("/sandbox/faults", self._clear, methods=["DELETE"]),
        ]

    async def _list(self, request: Request) -> Response:
        armed = [{"id": number, **fault.state()} for number, fault in self._armed.items()]
        return json_response(200, {"faults": armed, "kinds": KINDS})

    async def _arm(self, request: Request) -> Response:
        try:
            fault = Fault.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
            return message(400, "; ".join(problems))
        return json_response(201, {"id": self.arm(fault), **fault.state()})

    async def _clear(self, request: Request) -> Response:
        self._armed.clear()
        return Response(status_code=204)


def _concerns(match: Match, query: Asked) -> bool:
    start, end = match.span()
    is_of_dataset = match.dataset in (None, query.dataset)
    return (
        is_of_dataset and match.covers(query.asset_class, query.symbols) and query.first < end and query.last >= start
    )


def _covers(match: Match, action: corporate_actions.Action) -> bool:
    start, end = match.span()
    moment = corporate_actions.midnight(action.process_date)
    return (match.symbol is None or action.names("symbol", {match.symbol})) and start <= moment < end


def _alter(fault: Fault, bars: dict[str, Bars]) -> dict[str, Bars]:
    """Alter the matching bars; a fault that finds none has no chance to fire."""
    start, end = fault.match.span()
    chosen = {
        symbol: rows
        for symbol, found in bars.items()
        if fault.match.symbol in (None, symbol)
        and len(rows := np.flatnonzero((found.times >= start) & (found.times < end)))
    }
    if not chosen or not fault.fires():
        return bars
    if fault.kind in ONE_BAR:
        symbol, rows = next(iter(chosen.items()))
        chosen = {symbol: rows[:1]}
    altered = {symbol: _CHANGES[fault.kind](bars[symbol], rows) for symbol, rows in chosen.items()}
    return {symbol: found for symbol, found in (bars | altered).items() if len(found)}


def _removed(bars: Bars, rows: np.ndarray) -> Bars:
    return bars[np.setdiff1d(np.arange(len(bars)), rows)]


def _corrected(bars: Bars, rows: np.ndarray) -> Bars:
    high, close, volume = (bars.columns[name].copy() for name in ("h", "c", "v"))
    high[rows] = close[rows] = np.round(high[rows] * 1.001, 4)
    volume[rows] += 1
    return bars.replaced(h=high, c=close, v=volume)


def _with_nan(bars: Bars, rows: np.ndarray) -> Bars:
    close = bars.columns["c"].copy()
    close[rows] = np.nan
    return bars.replaced(c=close)


def _inverted(bars: Bars, rows: np.ndarray) -> Bars:
    prices = {name: bars.columns[name].copy() for name in PRICES}
    prices["h"][rows], prices["l"][rows] = bars.columns["l"][rows] * 0.999, bars.columns["h"][rows] * 1.001
    return bars.replaced(**prices)


def _in_future(bars: Bars, rows: np.ndarray) -> Bars:
    tomorrow = (time.time_ns() // DAY + 1) * DAY
    times = bars.times.copy()
    times[rows] = tomorrow + times[rows] % DAY
    moved = bars.replaced(t=times)
    others = np.setdiff1d(np.arange(len(bars)), rows)
    return moved[np.r_[others, rows]]


def _off_grid(bars: Bars, rows: np.ndarray) -> Bars:
    times = bars.times.copy()
    times[rows] += 7 * 10**9
    return bars.replaced(t=times)


def _spiked(bars: Bars, rows: np.ndarray) -> Bars:
    high, close = (bars.columns[name].copy() for name in ("h", "c"))
    high[rows] = close[rows] = high[rows] * 10
    return bars.replaced(h=high, c=close)


_REWORDED = {"new_field": (b'"c":', b'"x":1,"c":'), "renamed_field": (b'"o":', b'"open":')}
_CHANGES: dict[str, Callable[[Bars, np.ndarray], Bars]] = {
    "empty": _removed,
    "corrected": _corrected,
    "nan": _with_nan,
    "inverted": _inverted,
    "future": _in_future,
    "off_grid": _off_grid,
    "spike": _spiked,
}


class _HalfResponse(Response):
    """Announces its whole length and ends after half of it: the server then cuts the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def _until_disconnected(request: Request, seconds: float) -> None:
    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(disconnected(), seconds)


def _ns(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
