"""What a request for bars asks for, and the page that answers it."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Protocol

from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.adjustments import DIVIDEND, RAW, SPLIT
from crypto_platform.sandbox.alpaca.columns import Bars, concatenated, no_bars
from crypto_platform.sandbox.alpaca.corporate_actions import Actions
from crypto_platform.sandbox.alpaca.parameters import BadRequestError, choice, limit
from crypto_platform.sandbox.alpaca.sessions import midnight, today
from crypto_platform.sandbox.alpaca.symbol_names import spans
from crypto_platform.sandbox.alpaca.timeframes import Timeframe

MAX_LIMIT = 10_000
DEFAULT_LIMIT = 1_000
# What each of Alpaca's adjustments adjusts for. A spin-off's actions do not tell the price that it takes away.
ADJUSTMENTS: dict[str, set[str]] = {
    "raw": set(),
    "split": {SPLIT},
    "dividend": {DIVIDEND},
    "spin-off": set(),
    "all": {SPLIT, DIVIDEND},
}
HISTORICAL_FEEDS = {"iex", "otc", "sip", "boats"}

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})")


class Source(Protocol):
    """Where the bars come from: recordings or the simulation."""

    label: str

    @property
    def corporate_actions(self) -> Actions: ...

    def description(self) -> list[str]: ...

    def symbols(self, asset_class: AssetClass) -> list[str]: ...

    def listed(self, asset_class: AssetClass) -> list[str]: ...

    def knows(self, symbol: str, asset_class: AssetClass) -> bool: ...

    def first_minute(self) -> int | None: ...

    def most(self, timeframe: Timeframe) -> int: ...

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
    ) -> Bars: ...


@dataclass(frozen=True)
class Position:
    """Where a page begins: after the bar of `symbol` at `time`; `turn` tells tokens for one place apart."""

    symbol: str = ""
    time: int | None = None
    turn: int = 0

    def token(self) -> str:
        text = f"{self.symbol}|{'' if self.time is None else self.time}|{self.turn}"
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def of(cls, token: str) -> "Position":
        """Raises BadRequestError for a token that no page gave."""
        try:
            symbol, time, turn = base64.b64decode(token, altchars=b"-_", validate=True).decode().split("|")
            return cls(symbol, int(time) if time else None, int(turn))
        except (binascii.Error, ValueError) as error:
            raise BadRequestError(f"invalid page_token: {token[:100]}") from error


@dataclass(frozen=True)
class Query:
    """A valid request for bars; `first` and `last` (ns, UTC) are both inclusive."""

    dataset: ClassVar[str] = "bars"

    asset_class: AssetClass
    symbols: tuple[str, ...]
    timeframe: Timeframe
    first: int
    last: int
    limit: int
    descending: bool
    position: Position
    currency: str | None
    adjustment: frozenset[str]
    asof: date | None


@dataclass(frozen=True)
class Page:
    """Bars by symbol, in the order of the answer, and where the next page begins (None: this is the last)."""

    bars: dict[str, Bars]
    next: Position | None


def parse_time(text: str, asset_class: AssetClass, name: str) -> int:
    """RFC 3339 with up to nanoseconds, or YYYY-MM-DD (that day's midnight), as ns since the epoch.

    Raises:
        BadRequestError: neither; a time without a zone is neither.
    """
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return midnight(date.fromisoformat(text), asset_class)
        if match := _TIME.fullmatch(text):
            zone = "+00:00" if match[4] in "Zz" else match[4]
            whole = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}") - datetime(1970, 1, 1, tzinfo=UTC)
            nanoseconds = int((match[3] or "").ljust(9, "0"))
            return (whole.days * 86_400 + whole.seconds) * 10**9 + nanoseconds
    except (ValueError, OverflowError):
        pass
    raise BadRequestError(f"invalid {name}: {text[:100]}")


def parse_symbols(parameters: Mapping[str, str], asset_class: AssetClass, source: Source) -> tuple[str, ...]:
    """The symbols asked for, sorted.

    Raises:
        BadRequestError: there is none, or one that the source does not know; one bad symbol fails the request.
    """
    symbols = sorted(set(parameters.get("symbols", "").split(",")))
    if symbols == [""]:
        raise BadRequestError("symbols is required")
    for symbol in symbols:
        if not source.knows(symbol, asset_class):
            raise BadRequestError(f"invalid symbol: {symbol}")
    return tuple(symbols)


def parse(parameters: Mapping[str, str], asset_class: AssetClass, source: Source, now: int) -> Query:
    """Read a request's parameters; `now` is ns since the epoch.

    Raises:
        BadRequestError: one of them is missing or invalid.
    """
    symbols = parse_symbols(parameters, asset_class, source)
    if "timeframe" not in parameters:
        raise BadRequestError("timeframe is required")
    try:
        timeframe = Timeframe.parse(parameters["timeframe"])
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    start, end = parameters.get("start"), parameters.get("end")
    first = parse_time(start, asset_class, "start") if start else midnight(today(now, asset_class), asset_class)
    last = parse_time(end, asset_class, "end") if end else now
    if last < first:
        raise BadRequestError("end should not be before start")
    adjustment, asof = RAW, None
    if asset_class == "us_equity":
        adjustment = _adjustment(parameters)
        _check_stock_parameters(parameters)
        asof = _asof(parameters, now)
    token = parameters.get("page_token")
    return Query(
        asset_class,
        symbols,
        timeframe,
        first,
        last,
        limit(parameters.get("limit"), DEFAULT_LIMIT, MAX_LIMIT),
        choice(parameters, "sort", {"asc", "desc"}, "asc") == "desc",
        Position.of(token) if token else Position(),
        parameters.get("currency"),
        adjustment,
        asof,
    )


def _adjustment(parameters: Mapping[str, str]) -> frozenset[str]:
    asked = parameters.get("adjustment", "raw").split(",")
    for name in asked:
        if name not in ADJUSTMENTS:
            raise BadRequestError(f"invalid adjustment: {name[:100]}")
    return frozenset().union(*(ADJUSTMENTS[name] for name in asked))


def _check_stock_parameters(parameters: Mapping[str, str]) -> None:
    choice(parameters, "feed", HISTORICAL_FEEDS, "sip")
    if (currency := parameters.get("currency", "USD")) != "USD":
        raise BadRequestError(f"invalid currency: {currency[:100]}: only USD is served here")


def _asof(parameters: Mapping[str, str], now: int) -> date | None:
    """The day whose companies the symbols mean, today by default; None for symbols alone."""
    if (asof := parameters.get("asof")) is None:
        return today(now, "us_equity")
    if asof == "-":
        return None
    try:
        return date.fromisoformat(asof)
    except ValueError as error:
        raise BadRequestError(f"invalid asof: {asof[:100]}") from error


def page(source: Source, query: Query) -> Page:
    """The page at the query's position: sorted by symbol, then time; the limit counts over all symbols."""
    room = min(query.limit, source.most(query.timeframe))
    position = query.position
    found: dict[str, Bars] = {}
    for symbol in query.symbols:
        if symbol < position.symbol:
            continue
        first, last = query.first, query.last
        if symbol == position.symbol and position.time is not None:
            first, last = (
                (first, min(last, position.time - 1)) if query.descending else (max(first, position.time + 1), last)
            )
        # One more than there is room for tells whether another page is needed.
        bars = _bars(source, query, symbol, first, last, room + 1)
        if query.descending:
            bars = bars[::-1]
        more = len(bars) > room
        bars = bars[:room]
        room -= len(bars)
        if len(bars):
            found[symbol] = bars
            position = Position(symbol, int(bars.times[-1]))
        if more:
            return Page(found, position)
    return Page(found, None)


def _bars(source: Source, query: Query, symbol: str, first: int, last: int, limit: int) -> Bars:
    """As `Source.bars`, of all names of the company that the symbol means; each is adjusted by its own actions."""
    names = spans(symbol, query.asof, source.corporate_actions.name_changes)
    parts: list[Bars] = []
    for name in reversed(names) if query.descending else names:
        start, end = max(first, name.first), min(last, name.last)
        if start <= end and (room := limit - sum(map(len, parts))) > 0:
            parts.append(
                source.bars(
                    name.symbol,
                    query.asset_class,
                    query.timeframe,
                    start,
                    end,
                    room,
                    query.descending,
                    query.adjustment,
                )
            )
    return concatenated(parts[::-1] if query.descending else parts) if parts else no_bars()
