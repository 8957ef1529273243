"""Recorded bars from a folder of CSV, CSV.gz and Parquet files, read once and cut by bisection."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from crypto_platform.connectors.alpaca import RECORDED
from crypto_platform.market.bars import SYMBOL_PATTERNS, AssetClass
from crypto_platform.sandbox.alpaca import exchanges
from crypto_platform.sandbox.alpaca.adjustments import RAW, Change, adjusted, changes
from crypto_platform.sandbox.alpaca.columns import MISSING_COUNT, Bars, concatenated, no_bars
from crypto_platform.sandbox.alpaca.corporate_actions import RecordedActions
from crypto_platform.sandbox.alpaca.timeframes import ONE_DAY, ONE_MINUTE, Timeframe, days_of_alpaca, roll_up

SUFFIXES = (".csv", ".csv.gz", ".parquet")
REQUIRED = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
OPTIONAL = ("trade_count", "vwap", "timeframe")
_WIRE = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "trade_count": "n", "vwap": "vw"}

# What a compact crypto pair such as BTCUSDT may end in; a ticker of a stock has five letters at most.
QUOTE_CURRENCIES = ("USDT", "USDC", "FDUSD", "USD", "EUR", "GBP", "BTC", "ETH")
_COMPACT = re.compile(rf"([A-Z0-9]{{2,10}}?)({'|'.join(QUOTE_CURRENCIES)})")

_UNITS = {
    "m": "Min", "min": "Min", "t": "Min", "h": "Hour", "hour": "Hour", "d": "Day", "day": "Day",
    "w": "Week", "week": "Week", "mo": "Month", "month": "Month",
}  # fmt: skip
_TIMEFRAME_WORD = re.compile(rf"(?<![A-Za-z0-9])([0-9]{{1,4}})({'|'.join(_UNITS)})(?![A-Za-z0-9])", re.IGNORECASE)
_NAME_IT = "Name it in a column `timeframe` or in the file's name, as in BTC-USD_1Min.csv"

_Parsed = TypeVar("_Parsed")


class RecordingError(ValueError):
    """A recording cannot be served; the message names the file, the row and the remedy."""


def symbol_of(text: str) -> tuple[str, AssetClass]:
    """A recording's symbol as Alpaca writes it, and its class: BTC/USD, BTCUSDT are crypto, AAPL a stock.

    Raises:
        ValueError: it is of neither form.
    """
    for asset_class, pattern in SYMBOL_PATTERNS.items():
        compact = _COMPACT.fullmatch(text) if asset_class == "us_equity" and len(text) >= 6 else None
        if compact:
            return f"{compact[1]}/{compact[2]}", "crypto"
        if re.fullmatch(pattern, text):
            return text, asset_class
    compact = _COMPACT.fullmatch(text)
    if compact:
        return f"{compact[1]}/{compact[2]}", "crypto"
    raise ValueError(f"{text!r} is not a symbol: write BTC/USD, BTCUSDT, AAPL or BRK.B")


def timeframe_of(text: str) -> Timeframe:
    """`1m`, `1Min`, `15m`, `60m`, `1h`, `1d`, `1Day` … (a month is `1mo` or `1Month`).

    Raises:
        ValueError: it is not one of Alpaca's timeframes.
    """
    match = _TIMEFRAME_WORD.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a timeframe")
    amount, unit = int(match[1]), _UNITS[match[2].lower()]
    for minutes, name in ((1440, "Day"), (60, "Hour")):
        if unit == "Min" and amount % minutes == 0:
            amount, unit = amount // minutes, name
    if (amount, unit) == (24, "Hour"):
        amount, unit = 1, "Day"
    return Timeframe.parse(f"{amount}{unit}")


def timeframe_in_name(path: Path) -> Timeframe | None:
    """The one timeframe that a file's name holds, if any.

    Raises:
        RecordingError: it holds several.
    """
    found = {timeframe_of(match[0]) for match in _TIMEFRAME_WORD.finditer(path.name.split(".")[0])}
    if len(found) > 1:
        names = " and ".join(sorted(map(str, found)))
        raise RecordingError(f"{path}: the name holds {names}: leave one, or add a column `timeframe`")
    return found.pop() if found else None


@dataclass(frozen=True)
class Part:
    """One file's bars of one symbol and timeframe, with the row each came from."""

    bars: Bars
    path: Path
    rows: NDArray


@dataclass(frozen=True)
class Recording:
    """All bars of one symbol and timeframe, sorted by time, without duplicates."""

    bars: Bars
    paths: tuple[Path, ...]


def read_folder(folder: Path) -> dict[tuple[str, Timeframe], Recording]:
    """Every recording under a folder.

    Raises:
        RecordingError: the folder holds none, a file is bad, or two rows disagree about one bar.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
    if not files:
        raise RecordingError(f"{folder}: no recording in it: put {', '.join(SUFFIXES)} files there")
    parts: dict[tuple[str, Timeframe], list[Part]] = defaultdict(list)
    for path in files:
        for key, part in read_file(path).items():
            parts[key].append(part)
    return {key: _merge(*key, found) for key, found in parts.items()}


def read_file(path: Path) -> dict[tuple[str, Timeframe], Part]:
    """One file's bars by symbol and timeframe, in the file's order.

    Raises:
        RecordingError: it is bad; names the row and the remedy.
    """
    table = read_table(path)
    try:
        names = exchanges.named(table.column_names)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}: keep one") from error
    table = table.rename_columns(names)
    for name in names:
        if names.count(name) > 1:
            raise RecordingError(f"{path}: the column `{name}` is there twice: keep one")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise RecordingError(f"{path}: no column {', '.join(missing)} (it has {', '.join(names)}): add it")
    columns = {
        "t": _times(path, table["timestamp"]),
        **{_WIRE[name]: _numbers(path, name, table[name]) for name in _WIRE if name in names},
    }
    symbols = _each(path, "symbol", table["symbol"], symbol_of)
    if "timeframe" in names:
        timeframes = _each(path, "timeframe", table["timeframe"], timeframe_of)
    elif named := timeframe_in_name(path):
        timeframes = (np.zeros(len(table), np.int32), [named])
    else:
        raise RecordingError(f"{path}: which timeframe are its bars of? {_NAME_IT}")
    bars = Bars(columns)
    groups = symbols[0] * len(timeframes[1]) + timeframes[0]
    order = np.argsort(groups, kind="stable")
    found = {}
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(rows):
            symbol, asset_class = symbols[1][symbols[0][rows[0]]]
            timeframe = timeframes[1][timeframes[0][rows[0]]]
            part = bars[rows]
            if timeframe == ONE_DAY:
                part = part.replaced(t=days_of_alpaca(part.times, asset_class))
            found[symbol, timeframe] = Part(part, path, rows)
    return found


def read_table(path: Path) -> pa.Table:
    """The file's columns as it has them; those of CSV are texts, an empty cell is null."""
    try:
        if path.name.lower().endswith(".parquet"):
            return pa.parquet.read_table(path)
        # As text, so that a value that is no number can be named with its row.
        with pa.csv.open_csv(path) as header:
            names = header.schema.names
        return pa.csv.read_csv(
            path,
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "CSV with a header line"
        raise RecordingError(f"{path}: not readable as {kind}: {error}") from error


def row_name(path: Path, row: int) -> str:
    """How a person finds a row: a CSV's first data row is line 2."""
    return f"{path}, row {row + 1}" if path.suffix.lower() == ".parquet" else f"{path}, line {row + 2}"


def _first(mask: NDArray) -> int:
    return int(np.flatnonzero(mask)[0])


def _each(
    path: Path, name: str, column: pa.ChunkedArray, parse: Callable[[str], _Parsed]
) -> tuple[NDArray, list[_Parsed]]:
    """Index of each row's value, and the parsed distinct values."""
    column = column.combine_chunks().cast(pa.string())
    if column.null_count:
        raise RecordingError(f"{row_name(path, _first(np.asarray(column.is_null())))}: no {name}: fill it in")
    encoded = column.dictionary_encode()
    indices = encoded.indices.to_numpy()
    values: list[_Parsed] = []
    places = np.zeros(len(encoded.dictionary), np.int32)
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            value = parse(text.strip())
        except ValueError as error:
            raise RecordingError(f"{row_name(path, _first(indices == place))}: {error}") from error
        if value not in values:
            values.append(value)
        places[place] = values.index(value)
    return places[indices], values


def _times(path: Path, column: pa.ChunkedArray) -> NDArray:
    """Nanoseconds since the epoch, UTC; a time without zone is UTC."""
    try:
        values = exchanges.times(column.combine_chunks())
    except pa.ArrowNotImplementedError as error:
        raise RecordingError(f"{path}: the column timestamp is {column.type}: {_WRITE_TIME}") from error
    bad = values == exchanges.NOT_A_TIME
    if bad.any():
        row = _first(bad)
        raise RecordingError(f"{row_name(path, row)}: timestamp is {column[row].as_py()!r}: {_WRITE_TIME}")
    return values


_WRITE_TIME = (
    "write ISO 8601, as in 2026-03-01T00:00:00Z, or whole seconds, ms, µs or ns since 1970 (of a time from 1980 to now)"
)


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> NDArray:
    """float64, or int64 for counts. Only the optional columns may have gaps."""
    column = column.combine_chunks()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            values = column.cast(pa.float64())
        except pa.ArrowInvalid as error:
            row = next(i for i, text in enumerate(column.to_pylist()) if text is not None and not _is_number(text))
            raise RecordingError(
                f"{row_name(path, row)}: {name} is {column[row].as_py()!r}: write a number such as 66973.26"
            ) from error
    else:
        try:
            values = column.cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise RecordingError(f"{path}: the column {name} is {column.type}: store numbers") from error
    absent = np.asarray(values.is_null())
    numbers = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    optional = name in OPTIONAL
    wrong = ~np.isfinite(numbers) & ~(absent | np.isnan(numbers) if optional else np.zeros(len(numbers), bool))
    if wrong.any():
        row = _first(wrong)
        raise RecordingError(f"{row_name(path, row)}: {name} is {column[row].as_py()!r}: write a finite number")
    if name != "trade_count":
        return numbers
    there = ~np.isnan(numbers)
    fractional = there & (numbers != np.floor(numbers)) | there & (numbers < 0)
    if fractional.any():
        row = _first(fractional)
        raise RecordingError(f"{row_name(path, row)}: {name} is {column[row].as_py()!r}: write a whole number")
    return np.where(there, numbers, MISSING_COUNT).astype(np.int64)


def _is_number(text: str) -> bool:
    try:
        pc.cast(pa.scalar(text), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _merge(symbol: str, timeframe: Timeframe, parts: list[Part]) -> Recording:
    joined = concatenated([part.bars for part in parts])
    source = np.repeat(np.arange(len(parts)), [len(part.bars) for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    bars = joined[order := np.argsort(joined.times, kind="stable")]
    same_time = bars.times[1:] == bars.times[:-1]
    if same_time.any():
        differing = np.zeros(len(same_time), bool)
        for column in bars.columns.values():
            differing |= (column[1:] != column[:-1]) & ~(np.isnan(column[1:]) & np.isnan(column[:-1]))
        if (same_time & differing).any():
            second = _first(same_time & differing) + 1
            one, other = (row_name(parts[source[order[i]]].path, int(rows[order[i]])) for i in (second - 1, second))
            raise RecordingError(
                f"{other}: {symbol} {timeframe} at {_iso(int(bars.times[second]))} differs from {one}: "
                "keep one of the two"
            )
        bars = bars[np.r_[True, ~same_time]]
    return Recording(bars, tuple(sorted({part.path for part in parts})))


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Recorded:
    """The recordings of a folder. A timeframe that is not recorded is rolled up from the longest recorded one
    that it is a multiple of.

    Raises:
        RecordingError: see `read_folder`.
    """

    label = RECORDED

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings = read_folder(folder)
        self._symbols: dict[AssetClass, list[str]] = {
            asset_class: sorted({s for s, _ in self.recordings if re.fullmatch(pattern, s)})
            for asset_class, pattern in SYMBOL_PATTERNS.items()
        }
        self.corporate_actions = RecordedActions(folder)
        self._rolled = lru_cache(maxsize=256)(self._roll)
        self._changes = cache(self._changes_of)

    def description(self) -> list[str]:
        return [
            f"{symbol} {timeframe}: {len(r.bars):,} bars, {_iso(int(r.bars.times[0]))} to "
            f"{_iso(int(r.bars.times[-1]))}, from " + ", ".join(str(path.relative_to(self.folder)) for path in r.paths)
            for (symbol, timeframe), r in sorted(self.recordings.items(), key=lambda item: str(item[0]))
        ]

    def symbols(self, asset_class: AssetClass) -> list[str]:
        return self._symbols[asset_class]

    def listed(self, asset_class: AssetClass) -> list[str]:
        """The symbols of the list of assets."""
        return self._symbols[asset_class]

    def knows(self, symbol: str, asset_class: AssetClass) -> bool:
        return symbol in self.symbols(asset_class)

    def first_minute(self) -> int | None:
        """Where a stream begins by itself: at the first minute bar (ns, UTC); None: there is none."""
        firsts = [int(r.bars.times[0]) for (_, timeframe), r in self.recordings.items() if timeframe == ONE_MINUTE]
        return min(firsts, default=None)

    def most(self, timeframe: Timeframe) -> int:
        """How many bars one page may hold at most: as many as the API allows."""
        return 10_000

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
    ) -> Bars:
        """The first (descending: the last) `limit` bars with first <= t <= last (ns, UTC), ascending."""
        recording = self.recordings.get((symbol, timeframe))
        bars = recording.bars if recording else self._rolled(symbol, asset_class, timeframe, adjustment)
        found = bars.between(first, last)
        found = found[:0] if limit < 1 else found[-limit:] if descending else found[:limit]
        return self._adjusted(symbol, found, adjustment) if recording else found

    def _adjusted(self, symbol: str, bars: Bars, adjustment: frozenset[str]) -> Bars:
        if not adjustment:
            return bars
        newest = max(int(r.bars.times[-1]) for (s, _), r in self.recordings.items() if s == symbol)
        return adjusted(bars, self._changes(symbol), adjustment, newest)

    def _changes_of(self, symbol: str) -> list[Change]:
        days = self.bars(symbol, "us_equity", ONE_DAY, 0, 2**63 - 1, 10**9)

        def close_before(time: int) -> float | None:
            before = np.searchsorted(days.times, time) - 1
            return float(days.columns["c"][before]) if before >= 0 else None

        return changes(symbol, self.corporate_actions.between((symbol,), date.min, date.max), close_before)

    def _roll(
        self, symbol: str, asset_class: AssetClass, timeframe: Timeframe, adjustment: frozenset[str] = RAW
    ) -> Bars:
        bases = [base for s, base in self.recordings if s == symbol and timeframe.is_multiple_of(base)]
        if not bases:
            return no_bars()
        base = max(bases, key=lambda base: base.minutes)
        # Before the roll-up: a week or a month may have a split in its midst.
        bars = self._adjusted(symbol, self.recordings[symbol, base].bars, adjustment)
        return roll_up(bars, timeframe, asset_class, base.intraday)
