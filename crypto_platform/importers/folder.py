"""The folder of recordings: what it has of a partition, what new bars change of it, and that change on disk.

Nothing in the folder changes before all that is to be written has been, whole, in a folder of its own within it; then
each file is renamed to its place.
"""

import fcntl
import gzip
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from crypto_platform.importers.report import FileReport, WrittenFile
from crypto_platform.importers.spool import VALUES, Partition, partitions
from crypto_platform.importers.values import as_floats
from crypto_platform.sandbox.alpaca.columns import MISSING_COUNT
from crypto_platform.sandbox.alpaca.recordings import (
    SUFFIXES,
    Part,
    RecordingError,
    read_file,
    read_table,
    row_name,
)

COLUMNS = ("symbol", "timeframe", "timestamp", *VALUES)
DISPUTED = "two different bars of one start"
CHANGED = "differs from the bar that the folder has: --replace takes it"

# How long an import waits for another one of its folder, and how often it looks.
LOCK_SECONDS = 60.0
_LOCK_INTERVAL_SECONDS = 0.1

_WIRE = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "trade_count": "n", "vwap": "vw"}
_STAGE = ".import-"
_OPTIONAL = [VALUES.index(name) for name in ("trade_count", "vwap")]
_GZIP_LEVEL = 5


class FolderInUseError(TimeoutError):
    """Another import writes into the folder; nothing was changed."""


@dataclass(frozen=True)
class _Bars:
    """Starts (ns, UTC), ascending; values as doubles, a row for each of `VALUES` (NaN: none); where each bar is from:
    a file's number and a line, or a part's number and a row."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    files: NDArray[np.int64]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, chosen: NDArray) -> "_Bars":
        return _Bars(self.times[chosen], self.values[:, chosen], self.files[chosen], self.lines[chosen])

    def differ(self, other: "_Bars") -> NDArray[np.bool_]:
        """Where the bars are not the same; a value that one of the two does not have is no difference."""
        return ((self.values != other.values) & ~np.isnan(self.values) & ~np.isnan(other.values)).any(axis=0)


class Folder:
    """The recordings in `path`; what is to be written is put into `stage` first, on the same disk."""

    def __init__(self, path: Path, stage: Path) -> None:
        self._path, self._stage = path, stage
        self._others: dict[Partition, list[Part]] = defaultdict(list)
        self._staged: list[tuple[Path, Path]] = []
        self._removed: dict[Path, list[NDArray]] = defaultdict(list)

    def look(self, wanted: Sequence[Partition]) -> None:
        """Read what other files than an import's have of the partitions: what is in those, only they say.

        Raises:
            RecordingError: a file of the folder is bad, so that the sandbox would serve none of it.
        """
        chosen = set(wanted)
        for path in sorted(p for p in self._path.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES)):
            if path.parent == self._path and Partition.of_name(path.name):
                continue
            for (symbol, timeframe), part in read_file(path).items():
                for partition, rows in partitions(symbol, timeframe, part.bars.times).items():
                    if partition in chosen:
                        self._others[partition].append(Part(part.bars[rows], path, part.rows[rows]))

    def merge(self, partition: Partition, new: pa.Table, files: Sequence[FileReport], replace: bool) -> WrittenFile:
        """Account for the partition's new bars, and stage the file that holds them beside those that are there.

        Where bars of one start differ none is taken: neither of two new ones, nor, without `replace`, a new one in
        place of one that is there.

        Raises:
            RecordingError: the partition's file is bad.
            OSError: the disk is full.
        """
        own = self._path / partition.file_name
        parts = [*_of_own(own, partition), *self._others.pop(partition, [])]
        there = _of_parts(parts)
        bars, table = _of_table(new)

        starts = np.flatnonzero(np.r_[True, bars.times[1:] != bars.times[:-1]])
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(bars)))
        lead = starts[group]
        differs = bars.differ(bars[lead])
        disputed = np.logical_or.reduceat(differs, starts)[group]
        _reject_disputed(partition, bars, files, disputed, differs, lead, starts, group)
        _count(files, bars.files[(lead != np.arange(len(bars))) & ~disputed], "duplicate")

        chosen = starts[~disputed[starts]]
        # The bar that stands against each one that is there; one start may be in several files.
        place = np.searchsorted(bars.times[chosen], there.times)
        met = np.isin(there.times, bars.times[chosen])
        against = np.zeros(len(there), bool)
        against[met] = there[met].differ(bars[chosen[place[met]]])
        is_there, changed, kept = (np.zeros(len(chosen), bool) for _ in range(3))
        is_there[place[met]], changed[place[against]], kept[place[met & ~against]] = True, True, True
        _count(files, bars.files[chosen[~is_there]], "written")
        _count(files, bars.files[chosen[is_there & ~changed]], "unchanged")
        if replace:
            _count(files, bars.files[chosen[changed]], "replaced")
        else:
            _, first = np.unique(place[against], return_index=True)
            _reject_changed(partition, bars[chosen[changed]], files, parts, there[against][first])
            against[:], changed[:] = False, False

        taken = chosen[~is_there | changed & ~kept]
        if len(taken) or against.any():
            self._write(own, partition, table.take(pa.array(taken)), parts, there, against)
        times = np.union1d(there.times[~against], bars.times[taken])
        edges = (iso(times[0]), iso(times[-1])) if len(times) else ("", "")
        new_bars, replaced = int(np.count_nonzero(~is_there)), int(np.count_nonzero(changed))
        return WrittenFile(own, partition.symbol, partition.timeframe, len(times), *edges, new_bars, replaced)

    def _write(
        self,
        own: Path,
        partition: Partition,
        taken: pa.Table,
        parts: Sequence[Part],
        there: _Bars,
        gone: NDArray[np.bool_],
    ) -> None:
        """Stage the partition's file where it changes, and remember what is to leave other files."""
        text, times, changes = _as_recording(partition, taken), taken["time"].to_numpy(), len(taken) > 0
        for number, part in enumerate(parts):
            of_part = there.files == number
            if part.path == own:
                kept = there.lines[of_part & ~gone]
                changes = changes or bool((of_part & gone).any())
                text = pa.concat_tables([_columns_of(read_table(own)).take(pa.array(kept)), text])
                times = np.r_[there.times[of_part & ~gone], times]
            elif (of_part & gone).any():
                self._removed[part.path].append(there.lines[of_part & gone])
        if changes:
            self._stage_file(own, text.take(pa.array(np.argsort(times, kind="stable"))))

    def _stage_file(self, path: Path, table: pa.Table, quoting: str = "none") -> None:
        staged = self._stage / f"{len(self._staged)}.tmp"
        if path.suffix.lower() == ".parquet":
            pa.parquet.write_table(table, staged, compression="zstd")
        else:
            with _written(staged, zipped=path.suffix.lower() == ".gz") as file:
                file.write(",".join(table.column_names).encode() + b"\n")
                pa.csv.write_csv(table, file, pa.csv.WriteOptions(include_header=False, quoting_style=quoting))
        self._staged.append((staged, path))

    def commit(self) -> None:
        """Put everything that is staged in its place.

        The bars that replace others come first: where it is interrupted the folder has both, and says so.
        """
        for path, rows in self._removed.items():
            table = read_table(path)
            kept = np.ones(len(table), bool)
            kept[np.concatenate(rows)] = False
            self._stage_file(path, table.filter(pa.array(kept)), "needed")
        for staged, path in self._staged:
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            staged.replace(path)


@contextmanager
def _written(path: Path, zipped: bool) -> Iterator[BinaryIO]:
    """The file to write; the same bytes make the same gzip."""
    with path.open("wb") as raw:
        if not zipped:
            yield raw
            return
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as file:
            yield cast(BinaryIO, file)


@contextmanager
def stage_in(folder: Path | None) -> Iterator[Path]:
    """A folder to stage files in, gone after the block: within `folder`, which no other import then writes; without
    one, anywhere.

    Raises:
        FolderInUseError: another import has the folder, and goes on with it.
        OSError: the folder cannot be made, or the disk is full.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as stage:
            yield Path(stage)
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        for left in folder.glob(f"{_STAGE}*"):  # by an import that was killed
            shutil.rmtree(left)
        made = Path(tempfile.mkdtemp(prefix=_STAGE, dir=folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise FolderInUseError(
                    f"another import has had {folder} for {LOCK_SECONDS:g} s: run this one again when that one has "
                    "ended, or import into another folder"
                ) from None
            time.sleep(_LOCK_INTERVAL_SECONDS)


def iso(ns: int) -> str:
    """A start as recordings have it: 2026-03-01T00:00:00Z."""
    return f"{np.datetime64(int(ns), 'ns').astype('M8[s]')}Z"


def _of_own(path: Path, partition: Partition) -> list[Part]:
    """What the partition's own file has, where it is there."""
    found = read_file(path) if path.exists() else {}
    if strangers := [key for key in found if tuple(map(str, key)) != (partition.symbol, partition.timeframe)]:
        names = ", ".join(" ".join(map(str, key)) for key in strangers)
        raise RecordingError(f"{path}: it has bars of {names} too, and an import writes it: give it another name")
    return list(found.values())


def _of_parts(parts: Sequence[Part]) -> _Bars:
    columns: dict[str, list[NDArray]] = {name: [np.empty(0)] for name in VALUES}
    for part in parts:
        for name in VALUES:
            column = part.bars.columns.get(_WIRE[name], np.full(len(part.bars), np.nan))
            columns[name].append(np.where(column == MISSING_COUNT, np.nan, column) if name == "trade_count" else column)
    times = np.concatenate([np.empty(0, np.int64), *(part.bars.times for part in parts)])
    files = np.repeat(np.arange(len(parts)), [len(part.bars) for part in parts])
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
    values = np.stack([np.concatenate(columns[name]) for name in VALUES])
    return _Bars(times, values, files, rows)[np.argsort(times, kind="stable")]


def _of_table(new: pa.Table) -> tuple[_Bars, pa.Table]:
    """The bars, and the table in their order: by start, of one start those with the most values first."""
    new = new.combine_chunks()
    columns = [as_floats(new[name].combine_chunks()) for name in VALUES]
    values = np.stack([column.fill_null(np.nan).to_numpy(zero_copy_only=False) for column in columns if column])
    times, files, lines = (new[name].to_numpy() for name in ("time", "file", "line"))
    missing = np.isnan(values[_OPTIONAL]).sum(axis=0)
    order = np.lexsort((lines, files, missing, times))
    return _Bars(times, values, files, lines)[order], new.take(pa.array(order))


def _as_recording(partition: Partition, taken: pa.Table) -> pa.Table:
    stamps = taken["time"].cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp("s", "UTC")).cast(pa.string())
    constants = [pa.array([text]).take(pa.array(np.zeros(len(taken), np.int8))) for text in _key(partition)]
    texts = [*constants, pc.replace_substring(stamps, " ", "T"), *(taken[name] for name in VALUES)]
    return pa.table(dict(zip(COLUMNS, texts, strict=True)))


def _key(partition: Partition) -> tuple[str, str]:
    return partition.symbol, partition.timeframe


def _columns_of(table: pa.Table) -> pa.Table:
    """A file's columns as imports write them, should somebody have edited it."""
    none = pa.nulls(len(table), pa.string())
    return pa.table({name: table[name] if name in table.column_names else none for name in COLUMNS})


def _count(files: Sequence[FileReport], of_files: NDArray, name: str) -> None:
    for number, count in enumerate(np.bincount(of_files, minlength=0).tolist()):
        if count:
            setattr(files[number], name, getattr(files[number], name) + count)


def _reject_disputed(
    partition: Partition,
    bars: _Bars,
    files: Sequence[FileReport],
    disputed: NDArray[np.bool_],
    differs: NDArray[np.bool_],
    lead: NDArray,
    starts: NDArray,
    group: NDArray,
) -> None:
    """Each bar of a start of which there are different ones, beside one that differs from it."""
    if not disputed.any():
        return
    first_other = np.minimum.reduceat(np.where(differs, np.arange(len(bars)), len(bars)), starts)[group]
    other = np.where(differs, lead, first_other)
    for number in np.unique(bars.files[disputed]).tolist():
        places = np.flatnonzero(disputed & (bars.files == number))

        def told(n: int, places: NDArray = places) -> str:
            beside = other[places[n]]
            file = files[bars.files[beside]]
            where = f"{file.source}, {file.unit} {bars.lines[beside]:,}"
            return f"{' '.join(_key(partition))} at {iso(bars.times[places[n]])} differs from {where}"

        files[number].reject(DISPUTED, bars.lines[places], told)


def _reject_changed(
    partition: Partition, bars: _Bars, files: Sequence[FileReport], parts: Sequence[Part], there: _Bars
) -> None:
    for number in np.unique(bars.files).tolist():
        places = np.flatnonzero(bars.files == number)

        def told(n: int, places: NDArray = places) -> str:
            at = places[n]
            where = row_name(parts[there.files[at]].path, int(there.lines[at]))
            return f"{' '.join(_key(partition))} at {iso(bars.times[at])} differs from {where}"

        files[number].reject(CHANGED, bars.lines[places], told)
