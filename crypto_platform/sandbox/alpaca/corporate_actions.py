"""Corporate actions: a folder's recorded ones, a request for some, and the page that answers it.

https://docs.alpaca.markets/reference/corporateactions-1; the order is by process date, over all symbols and types.
"""

import base64
import binascii
import gzip
import hashlib
import json
import re
import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import orjson

from crypto_platform.market.bars import SYMBOL_PATTERNS, AssetClass
from crypto_platform.market.corporate_actions import ACTION_TYPES
from crypto_platform.sandbox.alpaca.parameters import BadRequestError, choice, limit
from crypto_platform.sandbox.alpaca.sessions import today
from crypto_platform.sandbox.alpaca.symbol_names import NameChange

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 100
FILE_NAMES = re.compile(r".*corporate-actions.*\.json(\.gz)?", re.IGNORECASE)
REGIONS = {"us", "non_us", "all"}
_FILTERS = ("symbols", "cusips", "types", "start", "end")


@dataclass(frozen=True)
class Action:
    """One action: Alpaca's object, the array that holds it in an answer, and its place in the answer's order."""

    process_date: date
    plural: str
    body: dict[str, Any]
    text: bytes
    place: tuple[str, ...]

    @classmethod
    def of(cls, plural: str, body: dict[str, Any]) -> "Action":
        """Raises ValueError for an action without a process date."""
        try:
            process_date = _date(body["process_date"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("has no process_date such as 2026-03-02") from None
        text = json.dumps(body, separators=(",", ":")).encode()
        symbol = min(_named(body, "symbol"), default="")
        digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
        place = (body["process_date"], symbol, plural, digest)
        return cls(process_date, plural, body, text, place)

    def names(self, what: str, wanted: Iterable[str]) -> bool:
        """Whether one of its symbols or CUSIPs (`what`: symbol or cusip), new or old, is wanted."""
        return not _named(self.body, what).isdisjoint(wanted)


class Actions(Protocol):
    """Where actions come from: recordings or the simulation."""

    def description(self) -> list[str]: ...

    def between(self, symbols: tuple[str, ...], first: date, last: date) -> list[Action]:
        """The actions that name one of `symbols` (none given: of every symbol) with first <= process date <= last."""
        ...

    def with_ids(self, ids: tuple[str, ...]) -> list[Action]: ...

    @property
    def name_changes(self) -> Sequence[NameChange]:
        """Ascending."""
        ...


class RecordedActions:
    """The actions of every `*corporate-actions*.json[.gz]` under a folder, each a body of Alpaca's answer.

    What cannot be read is left out and named in `problems`. An action that several files hold is one.
    """

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        found: dict[tuple[str, ...], Action] = {}
        self._files: list[str] = []
        for path in sorted(path for path in folder.rglob("*") if FILE_NAMES.fullmatch(path.name) and path.is_file()):
            name = str(path.relative_to(folder))
            actions = list(self._read(path, name))
            found.update({action.place: action for action in actions})
            self._files.append(f"{name}: {len(actions):,} corporate actions")
        self._all = [found[place] for place in sorted(found)]
        self._dates = [action.process_date for action in self._all]

    def description(self) -> list[str]:
        return self._files + self.problems

    def between(self, symbols: tuple[str, ...], first: date, last: date) -> list[Action]:
        found = self._all[bisect_left(self._dates, first) : bisect_right(self._dates, last)]
        return [action for action in found if not symbols or action.names("symbol", symbols)]

    def with_ids(self, ids: tuple[str, ...]) -> list[Action]:
        return [action for action in self._all if action.body.get("id") in ids]

    @cached_property
    def name_changes(self) -> Sequence[NameChange]:
        found = [
            NameChange(action.process_date, str(action.body.get("old_symbol")), str(action.body.get("new_symbol")))
            for action in self._all
            if action.plural == "name_changes"
        ]
        return [change for change in found if change.old != change.new]

    def _read(self, path: Path, name: str) -> Iterator[Action]:
        try:
            content = path.read_bytes()
            document = json.loads(gzip.decompress(content) if path.name.lower().endswith(".gz") else content)
        except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
            self.problems.append(f"{name}: left out, not readable as JSON: {error}")
            return
        arrays = document.get("corporate_actions") if isinstance(document, dict) else None
        if not isinstance(arrays, dict):
            self.problems.append(f"{name}: left out, it has no object `corporate_actions` as Alpaca's answers have")
            return
        for plural, array in arrays.items():
            if not isinstance(array, list):
                self.problems.append(f"{name}: {plural} left out, it is no array")
                continue
            for number, body in enumerate(array):
                try:
                    yield Action.of(plural, body)
                except ValueError as error:
                    self.problems.append(f"{name}: {plural}[{number}] left out, it {error}")


@dataclass(frozen=True)
class Position:
    """Where a page begins: after the action at `place`; `turn` tells tokens for one place apart."""

    place: tuple[str, ...] = ()
    turn: int = 0

    def token(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self.turn, *self.place])).decode()

    @classmethod
    def of(cls, token: str) -> "Position":
        """Raises BadRequestError for a token that no page gave."""
        try:
            turn, *place = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
            if place:
                day, _, _, _ = place
                _date(day)
            return cls(tuple(map(str, place)), int(turn))
        except (binascii.Error, ValueError, TypeError) as error:
            raise BadRequestError(f"invalid page_token: {token[:100]}") from error


@dataclass(frozen=True)
class Query:
    """A valid request for actions; `start` and `end` are both inclusive."""

    dataset: ClassVar[str] = "corporate_actions"
    asset_class: ClassVar[AssetClass] = "us_equity"

    symbols: tuple[str, ...]
    cusips: tuple[str, ...]
    plurals: tuple[str, ...]
    ids: tuple[str, ...]
    region: str
    start: date
    end: date
    limit: int
    descending: bool
    position: Position

    @property
    def first(self) -> int:
        """The first process date's midnight, ns since the epoch, UTC."""
        return midnight(self.start)

    @property
    def last(self) -> int:
        return midnight(self.end)


@dataclass(frozen=True)
class Page:
    """Actions in the order of the answer, and where the next page begins (None: this is the last)."""

    actions: list[Action]
    next: Position | None

    def json(self) -> bytes:
        arrays: dict[str, list[bytes]] = defaultdict(list)
        for action in self.actions:
            arrays[action.plural].append(action.text)
        sections = (orjson.dumps(plural) + b":[" + b",".join(texts) + b"]" for plural, texts in arrays.items())
        token = orjson.dumps(self.next.token() if self.next else None)
        return b'{"corporate_actions":{' + b",".join(sections) + b'},"next_page_token":' + token + b"}"


def midnight(day: date) -> int:
    """A process date as ns since the epoch, its midnight in UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 10**9


def parse(parameters: Mapping[str, str], now: int) -> Query:
    """Read a request's parameters; `now` is ns since the epoch.

    Raises:
        BadRequestError: one of them is invalid.
    """
    if "ids" in parameters and any(name in parameters for name in _FILTERS):
        raise BadRequestError(f"ids is mutually exclusive with {', '.join(_FILTERS)}")
    symbols, types = _list(parameters, "symbols"), _list(parameters, "types")
    for symbol in symbols:
        if not re.fullmatch(SYMBOL_PATTERNS["us_equity"], symbol):
            raise BadRequestError(f"invalid symbol: {symbol[:100]}")
    for name in types:
        if name not in ACTION_TYPES:
            raise BadRequestError(f"invalid types: {name[:100]}")
    of_today = today(now, "us_equity")
    start, end = (_day(parameters, name, of_today) for name in ("start", "end"))
    if end < start:
        raise BadRequestError("end should not be before start")
    token = parameters.get("page_token")
    return Query(
        symbols,
        _list(parameters, "cusips"),
        tuple(f"{name}s" for name in types),
        _list(parameters, "ids"),
        choice(parameters, "region", REGIONS, "us"),
        start,
        end,
        limit(parameters.get("limit"), DEFAULT_LIMIT, MAX_LIMIT),
        choice(parameters, "sort", {"asc", "desc"}, "asc") == "desc",
        Position.of(token) if token else Position(),
    )


def page(source: Actions, query: Query) -> Page:
    """The page at the query's position."""
    if query.region == "non_us":  # every action here is of the US
        return Page([], None)
    at = query.position.place
    start, end = query.start, query.end
    if at:
        start, end = (start, min(end, _date(at[0]))) if query.descending else (max(start, _date(at[0])), end)
    found = source.with_ids(query.ids) if query.ids else source.between(query.symbols, start, end)
    rows = [
        action
        for action in found
        if (not query.plurals or action.plural in query.plurals)
        and (not query.cusips or action.names("cusip", query.cusips))
    ]
    rows.sort(key=lambda action: action.place, reverse=query.descending)
    if at:
        rows = [row for row in rows if (row.place < at if query.descending else row.place > at)]
    shown = rows[: query.limit]
    return Page(shown, Position(shown[-1].place) if len(rows) > len(shown) else None)


def _named(body: Mapping[str, Any], what: str) -> set[str]:
    return {value for name, value in body.items() if name.endswith(what) and isinstance(value, str) and value}


def _list(parameters: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(sorted({text for text in parameters.get(name, "").split(",") if text}))


def _date(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _day(parameters: Mapping[str, str], name: str, default: date) -> date:
    if not (text := parameters.get(name)):
        return default
    try:
        return _date(text)
    except ValueError as error:
        raise BadRequestError(f"invalid {name}: {text[:100]}") from error
