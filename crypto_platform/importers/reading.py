"""One file's rows, made bars in the spool; each row is accounted for."""

import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crypto_platform.importers import clock, rows
from crypto_platform.importers.layout import Fact, Format, Layout, Series
from crypto_platform.importers.options import LastBar, Options
from crypto_platform.importers.recognition import Meaning, meaning, recognise
from crypto_platform.importers.report import FileReport
from crypto_platform.importers.sample import take
from crypto_platform.importers.source import Source
from crypto_platform.importers.spool import SCHEMA, VALUES, Spool, partitions
from crypto_platform.importers.symbols import Naming
from crypto_platform.importers.values import PRICES, counts, numbers, shifted
from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.exchanges import NOT_A_TIME
from crypto_platform.sandbox.alpaca.sessions import DAY
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, Timeframe, days_of_alpaca


def read(source: Source, number: int, options: Options, naming: Naming, spool: Spool, report: FileReport) -> None:
    """Put the file's bars into the spool as those of file `number`, and every row into the report.

    Raises:
        RefusedError: the file as a whole cannot be imported; bars of it may be in the spool.
    """
    sample = take(source)
    format, layout = recognise(sample, options.format)
    report.unit, report.format = rows.unit(sample), format.name
    report.facts["format"] = Fact(format.title, layout.why)
    for note in layout.notes:
        report.note(note)
    bars = _Bars(source, layout, options.last_bar, number, spool, report)
    reader = None
    for piece in rows.pieces(sample, layout, report.note):
        report.rows += len(piece.malformed)
        _reject_malformed(piece, report)
        if not len(piece.lines):
            continue
        if reader is None:
            found = meaning(piece, sample, format, layout, options, naming, report)
            reader = _Reader(format, layout, found, options, naming, bars, report)
        for series in layout.series:
            reader.take(piece, series)
    if reader is None:
        report.note("it has no bars")
    else:
        reader.end()


def _reject_malformed(piece: rows.Piece, report: FileReport) -> None:
    lines = [line for line, _ in piece.malformed]
    report.reject("not a row of this layout", lines, lambda place: piece.malformed[place][1])


class _Reader:
    """Makes bars of a file's rows, now that it is known what they mean."""

    def __init__(
        self,
        format: Format,
        layout: Layout,
        meaning: Meaning,
        options: Options,
        naming: Naming,
        bars: "_Bars",
        report: FileReport,
    ) -> None:
        self._format, self._layout, self._meaning = format, layout, meaning
        self._options, self._naming, self._bars, self._report = options, naming, bars, report
        self._units: set[str] = set()

    def take(self, piece: rows.Piece, series: Series) -> None:
        """Take one series' bars of some rows; a row is dropped for the first reason there is."""
        self._report.rows += len(piece.lines)
        ok = np.ones(len(piece.lines), bool)

        def drop(wrong: NDArray[np.bool_], reason: str, column: pa.Array, as_documented: bool = False) -> None:
            places = np.flatnonzero(ok & wrong)
            ok[places] = False
            count = self._report.leave_out if as_documented else self._report.reject
            count(reason, piece.lines[places], lambda n: repr(column[int(places[n])].as_py()))

        layout, timeframe, zone = self._layout, self._meaning.timeframe, self._meaning.zone
        texts = {name: clock.as_text(piece.fields[key]) for name, key in series.columns.items() if name in VALUES}
        times, time_column = rows.times(piece, layout, series), piece.fields[series.columns["time"]]
        self._units |= times.units
        for field, constant in layout.constants.items():
            drop(_where(pc.not_equal(piece.fields[field], constant)), f"not {constant}", piece.fields[field])
        if layout.has_blanks:
            blank = np.logical_and.reduce([_where(texts[name].is_null()) for name in PRICES])
            drop(blank, "no prices", time_column, as_documented=True)
        drop(~times.good, "no time", time_column)
        for name, text in texts.items():
            decimals = layout.decimals if name in PRICES else 0
            read_as = counts if name == "trade_count" else numbers
            texts[name], wrong = shifted(text, decimals) if decimals else read_as(text, name)
            drop(wrong, f"{name} is no number", text)
        if layout.last_committed is not None and self._options.last_bar != "keep":
            running = times.ns > layout.last_committed
            drop(running, "not complete yet, as the vendor's `last` says", time_column, as_documented=True)
        for vendors, chosen in rows.by_symbol(piece, series):
            try:
                symbol, asset_class = self._naming.of(vendors, self._format)
            except ValueError as error:
                drop(chosen, str(error), time_column)
                continue
            starts = self._starts(times, asset_class)
            reason = f"not one moment in {zone}" if zone else "no offset, which the first rows have"
            drop(chosen & (starts == NOT_A_TIME), reason, time_column)
            off_grid = starts != timeframe.starts(starts, asset_class)
            drop(chosen & off_grid, f"no start of a bar of {timeframe}", time_column)
            drop(chosen & (starts > self._bars.now), "in the future", time_column)
            good = chosen & ok
            if good.any():
                chosen_texts = {name: text.filter(pa.array(good)) for name, text in texts.items()}
                self._bars.add(symbol, timeframe, starts[good], chosen_texts, piece.lines[good])

    def _starts(self, times: clock.Times, asset_class: AssetClass) -> NDArray[np.int64]:
        """Starts of bars, ns in UTC, as Alpaca labels them; of what is no time, any."""
        timeframe = self._meaning.timeframe
        ns = np.where(times.good, times.ns, 0)
        if not timeframe.intraday:
            days = days_of_alpaca(np.where(times.zoned, ns, ns // DAY * DAY), asset_class)
            # A vendor's week or month of a stock may have the date of its last session.
            return timeframe.starts(days, asset_class) if asset_class == "us_equity" else days
        if not times.zoned.all():
            zone = self._meaning.zone
            ns = np.where(times.zoned, ns, clock.to_utc(ns, zone) if zone else NOT_A_TIME)
        length = timeframe.minutes * MINUTE if self._meaning.label == "end" else 0
        return np.where(ns == NOT_A_TIME, NOT_A_TIME, ns - length)

    def end(self) -> None:
        """What can be said of the whole file alone."""
        self._bars.end(self._meaning.timeframe)
        if self._units:
            units = " and ".join(sorted(self._units))
            self._report.facts["time zone"] = Fact("UTC", f"numbers since 1970, in {units}")


class _Bars:
    """A file's bars on their way into the spool. The newest of each symbol wait for the file's end: only then is it
    known that they are the last ones, which may not have been over when the file was written."""

    def __init__(
        self, source: Source, layout: Layout, last_bar: LastBar | None, number: int, spool: Spool, report: FileReport
    ) -> None:
        self.now = time.time_ns()
        self._written_at = source.written_at
        self._layout, self._last_bar, self._number = layout, last_bar, number
        self._spool, self._report = spool, report
        self._newest: dict[str, pa.Table] = {}
        self._previous: dict[str, int] = {}
        self._ascents = self._descents = 0

    def add(
        self,
        symbol: str,
        timeframe: Timeframe,
        starts: NDArray[np.int64],
        texts: dict[str, pa.Array],
        lines: NDArray[np.int64],
    ) -> None:
        steps = np.diff(starts, prepend=self._previous.get(symbol, starts[0]))
        self._previous[symbol] = int(starts[-1])
        self._ascents += int(np.count_nonzero(steps > 0))
        self._descents += int(np.count_nonzero(steps < 0))
        none = pa.nulls(len(starts), pa.string())
        files = pa.array(np.full(len(starts), self._number, np.int32))
        values = [texts.get(name, none) for name in VALUES]
        table = pa.Table.from_arrays([pa.array(starts), *values, files, pa.array(lines)], schema=SCHEMA)
        if symbol in self._newest:
            table = pa.concat_tables([self._newest[symbol], table])
        times = table["time"].to_numpy()
        newest = times == times.max()
        self._newest[symbol] = table.filter(pa.array(newest))
        self._put(symbol, timeframe, table.filter(pa.array(~newest)))

    def _put(self, symbol: str, timeframe: Timeframe, table: pa.Table) -> None:
        for partition, chosen in partitions(symbol, timeframe, table["time"].to_numpy()).items():
            self._spool.add(partition, table if chosen.all() else table.filter(pa.array(chosen)))

    def end(self, timeframe: Timeframe) -> None:
        for symbol, table in self._newest.items():
            start = table["time"][0].as_py()
            end = start + timeframe.minutes * MINUTE
            if self._last_bar == "drop" and self._layout.last_committed is None:
                self._leave_out(table, "the last bar, by --last-bar drop")
            elif self._last_bar is None and (end > self.now or start <= self._written_at < end):
                self._leave_out(table, "the last bar was running when the file was written (--last-bar keep)")
            else:
                self._put(symbol, timeframe, table)
                if self._last_bar is None and self._layout.may_be_running:
                    self._report.note(f"{self._layout.may_be_running}: it had ended when the file was written")
        if self._descents:
            told = "newest first" if not self._ascents else f"out of order at {self._descents:,} rows"
            self._report.note(f"{told}: sorted")

    def _leave_out(self, table: pa.Table, reason: str) -> None:
        start = datetime.fromtimestamp(table["time"][0].as_py() // 10**9, UTC)
        self._report.leave_out(reason, table["line"].to_pylist(), lambda n: f"{start:%Y-%m-%dT%H:%M:%SZ}")


def _where(condition: pa.Array) -> NDArray[np.bool_]:
    """The rows that meet it; those of which it is not known do."""
    return condition.fill_null(True).to_numpy(zero_copy_only=False)
