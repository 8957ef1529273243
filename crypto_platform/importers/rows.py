"""A file's rows in pieces of bounded size, column by column, each row with its line."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from crypto_platform.importers import clock
from crypto_platform.importers.layout import Layout, Series
from crypto_platform.importers.sample import Sample, arrays
from crypto_platform.importers.source import damage

BLOCK = 8 << 20
BATCH = 1 << 16
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Piece:
    """Some rows of a file: the line (or row, from 1) of each, its fields by their name in the layout, and those that
    are no rows of the layout, with what is wrong."""

    lines: NDArray[np.int64]
    fields: Mapping[str, pa.Array]
    malformed: Sequence[tuple[int, str]] = ()


def unit(sample: Sample) -> str:
    """What a person counts in the file."""
    return "line" if sample.kind == "CSV" else "row"


def pieces(sample: Sample, layout: Layout, note: Callable[[str], None]) -> Iterator[Piece]:
    """The rows in the file's order.

    Raises:
        RefusedError: the file is cut or damaged somewhere, which may show at its end only.
    """
    wanted = sorted({field for series in layout.series for field in series.columns.values()} | {*layout.constants})
    if sample.kind == "CSV":
        yield from _of_csv(sample, layout, wanted, note)
    elif layout.rows is not None:
        yield from _of_elements([layout.rows], layout, wanted)
    elif sample.kind == "JSON rows":
        with sample.source.opened() as stream:
            yield from _of_elements(arrays(sample.source, stream), layout, wanted)
    else:
        yield from _of_columns(sample, wanted)


def times(piece: Piece, layout: Layout, series: Series) -> clock.Times:
    """The times of a series' rows."""
    of_day = series.columns.get("time_of_day")
    return clock.read(layout, piece.fields[series.columns["time"]], piece.fields[of_day] if of_day else None)


def by_symbol(piece: Piece, series: Series) -> Iterator[tuple[str | None, NDArray[np.bool_]]]:
    """The vendor's symbols among a series' rows (None: it has none), and the rows of each."""
    if "symbol" not in series.columns:
        yield series.symbol.value if series.symbol else None, np.ones(len(piece.lines), bool)
        return
    encoded = clock.as_text(piece.fields[series.columns["symbol"]]).fill_null("").dictionary_encode()
    indices = encoded.indices.to_numpy()
    for place, vendors in enumerate(encoded.dictionary.to_pylist()):
        yield vendors, indices == place


def _of_csv(sample: Sample, layout: Layout, wanted: list[str], note: Callable[[str], None]) -> Iterator[Piece]:
    for first, block in _blocks(sample, layout.header):
        if not block.endswith(b"\n"):
            note("its last line does not end: if the file was cut there, fetch it again")
        yield _parsed(first, block, layout.width, wanted)


def _blocks(sample: Sample, header: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines after the header, some megabytes at a time, with the number of the first."""
    number, rest = 1, bytearray()

    def place() -> str:
        lines = number - 1 + rest.count(b"\n")
        return f" after line {lines:,}"

    with damage(sample.source, place), sample.source.opened() as stream:
        while number <= header and stream.readline():
            number += 1
        while True:
            # What a damaged file has before the damage comes by itself.
            read = stream.read1(BLOCK)
            rest += read
            if read and len(rest) < BLOCK:
                continue
            end = rest.rfind(b"\n") + 1 if read else len(rest)
            if end:
                yield number, bytes(rest[:end]).removeprefix(_BOM if number == 1 else b"")
                number += rest.count(b"\n", 0, end)
                del rest[:end]
            if not read:
                return


def _parsed(first: int, block: bytes, width: int, wanted: list[str]) -> Piece:
    """A block's lines, fields as texts; without quotes where a quote goes over the end of its line."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    table, bad = _table(block, width, wanted, quoted=b'"' in block)
    if len(table) + len(bad) != lines:
        table, bad = _table(block, width, wanted, quoted=False)
    good = np.ones(lines, bool)
    good[[number - 1 for number, _ in bad]] = False
    if b"\n\n" in block or b"\n\r\n" in block or block.startswith((b"\n", b"\r\n")):
        empty = np.array([not line.strip() for line in block.split(b"\n")[:lines]])
        table = table.filter(pa.array(~empty[good]))
        good &= ~empty
    malformed = [
        (first + number - 1, f"{len(text.split(','))} fields in place of {width}: {text[:60]}")
        for number, text in bad
        if text.strip()
    ]
    columns = {name: table[name].combine_chunks() for name in wanted}
    return Piece(np.flatnonzero(good) + first, columns, malformed)


def _table(block: bytes, width: int, wanted: list[str], quoted: bool) -> tuple[pa.Table, list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        bad.append((row.number, row.text))
        return "skip"

    try:
        table = pa.csv.read_csv(
            io.BytesIO(block),
            # Threads would not know the number of a line.
            pa.csv.ReadOptions(column_names=[str(place) for place in range(width)], use_threads=False),
            pa.csv.ParseOptions(
                invalid_row_handler=skip, ignore_empty_lines=False, quote_char='"' if quoted else False
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        # What is no UTF-8 becomes a value that is none, in its line.
        return _table(block.decode("utf-8", errors="replace").encode(), width, wanted, quoted)
    return table, bad


def _of_elements(parts: Iterable[Sequence[Any]], layout: Layout, wanted: list[str]) -> Iterator[Piece]:
    """Rows that are lists, of JSON: texts, or None."""
    number = 0
    for part in parts:
        good = [isinstance(row, list | tuple) and len(row) == layout.width for row in part]
        rows = part if all(good) else [row for row, well in zip(part, good, strict=True) if well]
        malformed = [
            (number + place + 1, f"no list of {layout.width}: {str(part[place])[:60]}")
            for place, well in enumerate(good)
            if not well
        ]
        columns = list(zip(*rows, strict=True)) or [()] * layout.width
        yield Piece(np.flatnonzero(good) + number + 1, {name: _texts(columns[int(name)]) for name in wanted}, malformed)
        number += len(part)


def _texts(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _of_columns(sample: Sample, wanted: list[str]) -> Iterator[Piece]:
    number = 1
    with damage(sample.source, lambda: f" after row {number - 1:,}"), sample.source.seekable() as file:
        for batch in _batches(sample, file, wanted):
            columns = {name: batch.column(name) for name in wanted}
            yield Piece(np.arange(number, number + len(batch)), columns)
            number += len(batch)


def _batches(sample: Sample, file: pa.NativeFile, wanted: list[str]) -> Iterator[pa.RecordBatch]:
    if sample.kind == "Parquet":
        yield from pa.parquet.ParquetFile(file).iter_batches(BATCH, columns=wanted)
        return
    reader = pa.ipc.open_file(file)
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place).select(wanted)
