"""What of a folder is to be written again, and its bars, read once, in the order of symbol and time."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa

from crypto_platform.export.formats import Partition, period_of, span
from crypto_platform.export.manifest import File, Key, Manifest
from crypto_platform.export.request import ExportError, ExportRequest
from crypto_platform.research import CoverageWarning, MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source

Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Plan:
    """The partitions that are `there`, with bars and version, which of them have `changed`, and which are `removed`."""

    request: ExportRequest
    by: Period
    asset_classes: Mapping[str, str]
    ranges: Mapping[str, Range]
    there: Mapping[Key, tuple[int, str]]
    changed: frozenset[Key]
    removed: frozenset[Key]

    def partition(self, key: Key) -> Partition:
        symbol, period = key
        return Partition(symbol, self.asset_classes[symbol], self.request.timeframe, period)

    def all_ranges(self, manifest: Manifest) -> dict[str, list[str]]:
        """Those of the folder once it is done."""
        own = {symbol: [moment.isoformat() for moment in moments] for symbol, moments in self.ranges.items()}
        return {**manifest.ranges, **own}

    def bars(self, market: MarketData, columns: Iterable[str]) -> Iterator[tuple[Key, pa.RecordBatch]]:
        """The bars of what has changed, with these columns at least; a partition may come in pieces, one by one."""
        request = self.request
        extra = ["bar_date"] if self.by == "session" else []
        selected = list(dict.fromkeys(["symbol", "bar_start", *extra, *columns]))
        for (start, end), symbols in _grouped(self._runs()).items():
            with warnings.catch_warnings():
                # Said when the sources were chosen.
                warnings.simplefilter("ignore", CoverageWarning)
                batches = market.bar_batches(
                    symbols, start, end, request.timeframe, request.adjustment, request.as_of, selected, request.feed
                )
            yield from ((key, bars) for key, bars in _cut(batches, self.by) if key in self.changed)

    def check(self, written: Mapping[Key, int]) -> None:
        """Compare the bars of what was written with those that were said to be there.

        Raises:
            ExportError: the marts were built meanwhile.
        """
        if any(written.get(key) != self.there[key][0] for key in self.changed):
            raise ExportError("the marts were built while they were read: run it again")

    def _runs(self) -> Iterator[tuple[str, Range]]:
        """Times to read of each symbol, of partitions in a row one; of all that it has, its whole range."""
        periods: dict[str, list[int]] = {}
        for symbol, period in sorted(self.there):
            periods.setdefault(symbol, []).append(period)
        for symbol, own in periods.items():
            start, end = self.ranges[symbol]
            marks = [(symbol, period) in self.changed for period in own]
            if all(marks):
                yield symbol, (start, end)
                continue
            for first, after in _rows_of(marks):
                begins, ends = span(self.by, own[first])[0], span(self.by, own[after - 1])[1]
                yield symbol, (max(begins, start), min(ends, end))


def plan(
    request: ExportRequest,
    market: MarketData,
    sources: Sequence[Source],
    by: Period,
    manifest: Manifest,
    is_held: Callable[[File], bool],
) -> Plan:
    """Compare what the marts have with the manifest's; `is_held` tells whether a file of it is still as it was written.

    Of each symbol it is the range of the request and that which the folder has already.
    """
    asset_classes = {symbol: source.asset_class for source in sources for symbol in source.symbols}
    ranges = {symbol: _range(request, manifest.ranges.get(symbol)) for symbol in sorted(asset_classes)}
    there: dict[Key, tuple[int, str]] = {}
    for (start, end), symbols in _grouped(ranges.items()).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)
            table = market.bar_partitions(
                symbols, start, end, request.timeframe, request.adjustment, request.as_of, request.feed, by
            )
        there |= {(row["symbol"], row["period"]): (row["bars"], row["version"]) for row in table.to_pylist()}
    kept = {key: file for key, file in manifest.files.items() if key in there and is_held(file)}
    return Plan(
        request=request,
        by=by,
        asset_classes=asset_classes,
        ranges=ranges,
        there=there,
        changed=frozenset(
            key for key, found in there.items() if key not in kept or (kept[key].bars, kept[key].version) != found
        ),
        removed=frozenset(key for key in manifest.files if key[0] in ranges and key not in there),
    )


def _range(request: ExportRequest, held: Sequence[str] | None) -> Range:
    moments = [datetime.fromisoformat(moment) for moment in held or ()]
    return min([request.start, *moments[:1]]), max([request.end, *moments[1:]])


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
    """Bars sorted by symbol and time, in pieces of one partition each."""
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
