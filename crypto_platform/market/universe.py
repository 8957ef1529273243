"""A universe: which symbols belong to a feed on which days, as a file of them says or a query of Alpaca's assets."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto_platform.market.bars import AssetClass, check_symbol
from crypto_platform.market.day_ranges import Range

# About as many stocks as Alpaca lists.
ASSETS = 12_000
# Lines that an error names at most.
NAMED = 3
_ALWAYS = date.min, date.max


class UniverseSpec(BaseModel):
    """What a feed's YAML says of its universe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = Field(
        None,
        description="A symbol a line, or CSV with the columns symbol and, where known, from and to: half-open UTC days",
    )

    exchange: tuple[str, ...] = Field((), description="Query of Alpaca's assets: only those listed at NASDAQ, NYSE, …")
    tradable: bool | None = Field(None, description="Query: only those that can, or cannot, be traded at Alpaca")
    largest: int | None = Field(None, ge=1, description="Query: so many by dollar volume of the month before")

    @model_validator(mode="after")
    def _file_or_query(self) -> "UniverseSpec":
        is_query = bool(self.exchange or self.tradable is not None or self.largest)
        if is_query == bool(self.file):
            both = "both a file and a query" if self.file else "neither a file nor a query"
            raise ValueError(f"the universe has {both}: give it file, or some of exchange, tradable and largest")
        return self

    @property
    def what(self) -> str:
        """The universe in words."""
        if self.file:
            return self.file.name
        tradable = {None: "", True: "tradable", False: "not tradable"}[self.tradable]
        largest = f"{self.largest:,} largest" if self.largest else ""
        return ", ".join(filter(None, (" ".join(self.exchange), tradable, largest)))

    def most_symbols(self, asset_class: AssetClass) -> int:
        """How many members it may have at once; 0 while its file cannot be read."""
        if not self.file:
            return self.largest or ASSETS
        try:
            return len(read_universe(self.file, asset_class).symbols)
        except ValueError:
            return 0

    def within(self, folder: Path) -> "UniverseSpec":
        """The same, its file's path taken from the feed's folder."""
        return self.model_copy(update={"file": folder / self.file}) if self.file else self


@dataclass(frozen=True)
class UniverseFile:
    """A file's symbols with the half-open ranges of UTC days they are members for; `rejected`: lines, and why."""

    path: Path
    symbols: dict[str, tuple[Range, ...]]
    rejected: tuple[str, ...]

    def members(self, day: date) -> tuple[str, ...]:
        """The members on a day, sorted."""
        return tuple(s for s, spans in self.symbols.items() if any(first <= day < after for first, after in spans))


def read_universe(path: Path, asset_class: AssetClass) -> UniverseFile:
    """Read a universe's file: a symbol a line, or CSV with the columns `symbol`, `from` and `to`.

    Empty lines and those that begin with # are passed over. A line that cannot be used is left out and named.

    Raises:
        ValueError: the file cannot be read, or no line of it can be used.
    """
    remedy = "write a symbol a line, or CSV with the columns symbol, from, to"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"the universe's file {path} cannot be read ({error}): {remedy}") from error
    found: dict[str, list[Range]] = defaultdict(list)
    rejected = []
    columns: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if columns is None:
            columns = [cell.lower() for cell in cells]
            if "symbol" in columns:
                continue
            columns = ["symbol"]
        try:
            symbol, span = _member(dict(zip(columns, cells, strict=False)), asset_class)
            if any(first < span[1] and span[0] < after for first, after in found.get(symbol, ())):
                raise ValueError(f"{symbol} is listed for these days before")
            found[symbol].append(span)
        except ValueError as error:
            rejected.append(f"line {number}: {error}")
    if not found:
        says = "; ".join(rejected[:NAMED]) or "it is empty"
        raise ValueError(f"the universe's file {path} names no symbol ({says}): {remedy}")
    return UniverseFile(path, {symbol: tuple(spans) for symbol, spans in sorted(found.items())}, tuple(rejected))


def _member(row: dict[str, str], asset_class: AssetClass) -> tuple[str, Range]:
    first, after = (
        date.fromisoformat(row[name]) if row.get(name) else always
        for name, always in zip(("from", "to"), _ALWAYS, strict=True)
    )
    if first >= after:
        raise ValueError(f"[{first}, {after}) is empty: `to` is exclusive")
    return check_symbol(row.get("symbol", ""), asset_class), (first, after)
