"""What is known of a file before its rows are read, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from numpy.typing import NDArray

from crypto_platform.importers.sample import Sample
from crypto_platform.market.bars import AssetClass

Label = Literal["start", "end"]
# How a row says its time: a number since 1970; a text; a number of milliseconds since midnight of the file's day.
Clock = Literal["epoch", "text", "milliseconds of the day"]

# A `Fact` by the name of a file, which somebody may have given it, is weaker than one by what is in it.
FILE_NAME = "the file's name"
NEW_YORK = "America/New_York"
UTC = "UTC"


@dataclass(frozen=True)
class Fact:
    """What a file is, and what says so."""

    value: Any
    why: str


@dataclass(frozen=True)
class Series:
    """Where a row has one symbol's bar: fields by the names `symbol`, `time`, `time_of_day`, `open`, `high`, `low`,
    `close`, `volume`, `trade_count`, `vwap`; a field's name is its column's, or its place from 0.

    `symbol` as the vendor writes it; None: it is in a column, or not in the file.
    """

    columns: Mapping[str, str]
    symbol: Fact | None = None


@dataclass(frozen=True)
class Layout:
    """How one file is to be read; what is None is not said by file or vendor.

    Of CSV `header` lines come before the first row. `rows` are a JSON object's, taken out of it. A row of CSV or JSON
    has `width` fields. `time_format` is strptime's, where it is not ISO 8601. `day` is the file's, for a clock that
    counts from midnight. `decimals`: prices are whole numbers with so many decimals. `last_committed`: the start (ns
    since the epoch) of the last bar that was complete. `label_in` looks for the label in the times of day.
    """

    why: str
    series: Sequence[Series]
    clock: Clock
    header: int = 0
    width: int = 0
    rows: Sequence[Sequence[str | None]] | None = None
    time_format: str | None = None
    day: date | None = None
    timeframe: Fact | None = None
    zone: Fact | None = None
    label: Fact | None = None
    label_in: Callable[[NDArray], Fact | None] | None = None
    decimals: int = 0
    last_committed: int | None = None
    may_be_running: str = ""
    has_blanks: bool = False
    constants: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Format:
    """A vendor's format: `name` for --format, what it is, the vendor's page, and how a file of it is recognised.

    `symbol` makes the vendor's spelling one that `symbols.known` reads; `asset_class` is that of all its symbols.
    `named` says whether a file's name (without suffixes) is the vendor's; it decides where two formats fit.
    """

    name: str
    title: str
    url: str
    recognise: Callable[[Sample], Layout | None]
    symbol: Callable[[str], str] = field(default=str)
    asset_class: AssetClass | None = None
    named: Callable[[str], bool] = field(default=lambda stem: False)
