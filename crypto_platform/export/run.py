"""An export from the marts to a folder: what has changed since the last one is read and written, the rest is linked."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from crypto_platform.export.folder import exporting, link, replacing, sync
from crypto_platform.export.formats import Format, Partition, Writer, period_of, span
from crypto_platform.export.manifest import NAME, Attachment, File, Key, Manifest, digest
from crypto_platform.export.request import ExportError, ExportReport, ExportRequest
from crypto_platform.failpoints import reach
from crypto_platform.research import CoverageWarning, MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source
from crypto_platform.settings import Settings

Progress = Callable[[int, int, int], None]
"""Told of the files that are written, of how many, and of their bars so far."""
Range = tuple[datetime, datetime]


def _silent(written: int, files: int, bars: int) -> None:
    """No progress."""


def export(request: ExportRequest, form: Format, settings: Settings, progress: Progress = _silent) -> ExportReport:
    """Bring the folder up to what the marts have of the symbols and range; other symbols and times in it stay.

    Raises:
        ExportError: the folder holds something else, another export is at work, there is no room, or the format cannot
            hold what is asked for.
        ReadError: see `MarketData`.
    """
    out = request.out.expanduser().resolve()
    with exporting(settings, out), MarketData(settings) as market:
        manifest = _manifest(out, form, request)
        sources = market.sources(request.symbols, request.start, request.end, request.timeframe, request.feed)
        form.check(request, sources)
        with warnings.catch_warnings():
            # Said once is enough.
            warnings.simplefilter("ignore", CoverageWarning)
            return _Export(request, form, market, sources, out, manifest).run(progress)


def _manifest(out: Path, form: Format, request: ExportRequest) -> Manifest:
    """The folder's, or the first of a new one."""
    found = Manifest.read(out)
    if found is None:
        if out.exists() and not out.is_dir():
            raise ExportError(f"{out} is a file: give a folder")
        if out.exists() and any(out.iterdir()):
            raise ExportError(f"{out} is not empty and holds no export: give a new folder, or an empty one")
        return Manifest(form.name, request.parameters)
    found.check_same(form.name, request.parameters, out)
    return found


@dataclass
class _Open:
    """A file that is being written."""

    key: Key
    writer: Writer
    file: Path
    partition: Partition
    first: datetime
    last: datetime
    bars: int = 0


class _Export:
    def __init__(
        self,
        request: ExportRequest,
        form: Format,
        market: MarketData,
        sources: Sequence[Source],
        out: Path,
        manifest: Manifest,
    ) -> None:
        self._request, self._form, self._market, self._sources = request, form, market, sources
        self._out, self._manifest = out, manifest
        self._by: Period = form.period(request)
        self._asset_class = {symbol: source.asset_class for source in sources for symbol in source.symbols}
        self._ranges = {symbol: self._range(symbol) for symbol in sorted(self._asset_class)}

    def run(self, progress: Progress) -> ExportReport:
        there = self._partitions()
        held = self._manifest.files
        changed = {key for key, (bars, version) in there.items() if not self._is_as(held.get(key), bars, version)}
        removed = {key for key in held if key[0] in self._ranges and key not in there}
        attachments = dict(self._form.attachments(self._request, self._market, self._sources))
        new = {key: file for key, file in held.items() if key not in changed and key not in removed}
        unchanged = len(new)
        files = _files(attachments)
        if changed or removed or not self._are_held(files) or self._manifest.ranges != self._all_ranges():
            with replacing(self._out) as staged:
                new |= self._write(staged, there, changed, progress)
                self._attach(staged, attachments)
                result = replace(
                    self._manifest,
                    ranges=self._all_ranges(),
                    files=new,
                    attachments={**self._manifest.attachments, **files},
                )
                self._keep(staged, result)
                result.write(staged)
        attached = {**self._manifest.attachments, **files}
        return ExportReport(
            written=len(changed),
            unchanged=unchanged,
            removed=len(removed),
            bars_written=sum(there[key][0] for key in changed),
            bars=sum(file.bars for file in new.values()),
            size=sum(file.bytes for file in new.values()) + sum(file.bytes for file in attached.values()),
        )

    def _range(self, symbol: str) -> Range:
        """That of the request, and that which the folder has already."""
        held = self._manifest.ranges.get(symbol)
        start, end = (datetime.fromisoformat(moment) for moment in held) if held else (self._request.start,) * 2
        return min(start, self._request.start), max(end, self._request.end)

    def _all_ranges(self) -> dict[str, list[str]]:
        own = {symbol: [moment.isoformat() for moment in moments] for symbol, moments in self._ranges.items()}
        return {**self._manifest.ranges, **own}

    def _partitions(self) -> dict[Key, tuple[int, str]]:
        """What the marts have: bars and version."""
        found: dict[Key, tuple[int, str]] = {}
        for (start, end), symbols in _grouped(self._ranges.items()).items():
            request = self._request
            table = self._market.bar_partitions(
                symbols, start, end, request.timeframe, request.adjustment, request.as_of, request.feed, self._by
            )
            for row in table.to_pylist():
                found[row["symbol"], row["period"]] = row["bars"], row["version"]
        return found

    def _is_as(self, held: File | None, bars: int, version: str) -> bool:
        """Whether the folder's file is of just these bars, and there as it was written."""
        if held is None or (held.bars, held.version) != (bars, version):
            return False
        file = self._out / held.path
        return file.is_file() and file.stat().st_size == held.bytes

    def _are_held(self, attachments: Mapping[str, Attachment]) -> bool:
        held = self._manifest.attachments
        return all(held.get(path) == file and (self._out / path).is_file() for path, file in attachments.items())

    def _write(
        self, staged: Path, there: Mapping[Key, tuple[int, str]], changed: set[Key], progress: Progress
    ) -> dict[Key, File]:
        """
        Raises:
            ExportError: a partition was not as it was said to be: the marts were built meanwhile.
        """
        written: dict[Key, File] = {}
        bars = 0
        progress(0, len(changed), 0)
        for file in self._written(staged, there, changed):
            key = file.symbol, file.period
            if file.bars != there[key][0]:
                break
            written[key] = file
            bars += file.bars
            progress(len(written), len(changed), bars)
            reach("during_export")
        if written.keys() != changed:
            raise ExportError("the marts were built while they were read: run it again")
        return written

    def _written(self, staged: Path, there: Mapping[Key, tuple[int, str]], changed: set[Key]) -> Iterator[File]:
        """Read what has changed, write it, and tell each file when it is done."""
        request = self._request
        extra = ["bar_date"] if self._by == "session" else []
        columns = list(dict.fromkeys(["symbol", "bar_start", *extra, *self._form.columns]))
        for (start, end), symbols in _grouped(self._runs(there, changed)).items():
            batches = self._market.bar_batches(
                symbols, start, end, request.timeframe, request.adjustment, request.as_of, columns, request.feed
            )
            current: _Open | None = None
            try:
                for key, bars in _cut(batches, self._by):
                    if current is not None and current.key != key:
                        done, current = current, None
                        yield self._close(staged, done, there)
                    if key not in changed:
                        continue
                    if current is None:
                        current = self._open(staged, key, bars)
                    current.writer.write(bars.select(list(self._form.columns)))
                    current.bars += len(bars)
                    current.last = bars["bar_start"][-1].as_py()
                if current is not None:
                    done, current = current, None
                    yield self._close(staged, done, there)
            finally:
                if current is not None:
                    # What it was has been said; here its file is let go.
                    with suppress(Exception):
                        current.writer.close()

    def _open(self, staged: Path, key: Key, bars: pa.RecordBatch) -> _Open:
        symbol, period = key
        partition = Partition(symbol, self._asset_class[symbol], self._request.timeframe, period)
        file, first = staged / ".part", bars["bar_start"][0].as_py()
        return _Open(key, self._form.writer(partition, file), file, partition, first, first)

    def _close(self, staged: Path, current: _Open, there: Mapping[Key, tuple[int, str]]) -> File:
        current.writer.close()
        sync(current.file)
        path = self._form.path(current.partition, current.first, current.last)
        file = staged / path
        file.parent.mkdir(parents=True, exist_ok=True)
        current.file.rename(file)
        symbol, period = current.key
        _, version = there[current.key]
        return File(str(path), symbol, period, current.bars, version, file.stat().st_size, digest(file))

    def _runs(self, there: Mapping[Key, tuple[int, str]], changed: set[Key]) -> Iterator[tuple[str, Range]]:
        """Times to read of each symbol, of partitions in a row one; of all that it has, its whole range."""
        for symbol, (start, end) in self._ranges.items():
            periods = sorted(period for name, period in there if name == symbol)
            of_change = [(symbol, period) in changed for period in periods]
            if periods and all(of_change):
                yield symbol, (start, end)
                continue
            for first, after in _rows_of(of_change):
                begins, ends = span(self._by, periods[first])[0], span(self._by, periods[after - 1])[1]
                yield symbol, (max(begins, start), min(ends, end))

    def _attach(self, staged: Path, attachments: Mapping[str, bytes]) -> None:
        for path, content in attachments.items():
            file = staged / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            sync(file)

    def _keep(self, staged: Path, result: Manifest) -> None:
        """Link what stays of the old folder: its files, and what is not the export's."""
        gone = {file.path for file in self._manifest.files.values()} - {file.path for file in result.files.values()}
        if not self._out.exists():
            return
        for file in self._out.rglob("*"):
            path = file.relative_to(self._out)
            if file.is_file() and str(path) not in (NAME, *gone) and not (staged / path).exists():
                link(file, staged / path)


def _files(attachments: Mapping[str, bytes]) -> dict[str, Attachment]:
    return {path: Attachment(path, len(text), sha256(text).hexdigest()) for path, text in attachments.items()}


def _grouped(ranges: Iterable[tuple[str, Range]]) -> dict[Range, list[str]]:
    """The symbols of each range."""
    groups: dict[Range, list[str]] = {}
    for symbol, found in ranges:
        groups.setdefault(found, []).append(symbol)
    return groups


def _rows_of(marks: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The rows [first, after) of marks that are set one after the other."""
    first = None
    for place, mark in enumerate([*marks, False]):
        if mark and first is None:
            first = place
        elif not mark and first is not None:
            yield first, place
            first = None


def _cut(batches: pa.RecordBatchReader, by: Period) -> Iterator[tuple[Key, pa.RecordBatch]]:
    """Bars sorted by symbol and time, a piece for as long as both stay the same; a partition may come in several."""
    for batch in batches:
        if not len(batch):
            continue
        symbols = batch["symbol"].dictionary_encode()
        codes = symbols.indices.to_numpy()
        periods = period_of(batch, by).to_numpy()
        differ = (codes[1:] != codes[:-1]) | (periods[1:] != periods[:-1])
        bounds = [0, *(np.flatnonzero(differ) + 1).tolist(), len(batch)]
        for first, after in pairwise(bounds):
            key = symbols.dictionary[int(codes[first])].as_py(), int(periods[first])
            yield key, batch.slice(first, after - first)
