"""Which format a file is of, and what its rows mean: by what is in it, by its name, and by the options."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crypto_platform.importers import clock, rows
from crypto_platform.importers.formats import FORMATS
from crypto_platform.importers.layout import FILE_NAME, Fact, Format, Layout
from crypto_platform.importers.options import Options, vendors_timeframe
from crypto_platform.importers.report import FileReport
from crypto_platform.importers.sample import Sample
from crypto_platform.importers.source import RefusedError
from crypto_platform.importers.symbols import Naming
from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.recordings import REQUIRED
from crypto_platform.sandbox.alpaca.timeframes import Timeframe

# So many distances between bars outweigh a file's name; fewer may be of a symbol that is seldom traded.
_ENOUGH = 10
# So many symbols are named.
_NAMED = 5
# The times (ns) of a symbol, its class, and whether they are UTC's.
_Bars = tuple[NDArray[np.int64], AssetClass, bool]


def recognise(sample: Sample, wanted: str | None = None) -> tuple[Format, Layout]:
    """The format that the file is of, by what is in it, and its layout.

    Raises:
        RefusedError: it is of none, or not of the `wanted` one, or of several between which its name does not decide.
    """
    formats = [FORMATS[wanted]] if wanted else list(FORMATS.values())
    found = [(format, layout) for format in formats if (layout := format.recognise(sample))]
    if len(found) > 1:
        by_name = [one for one in found if one[0].named(sample.source.stem)]
        if len(by_name) != 1:
            names = " and ".join(format.name for format, _ in found)
            raise RefusedError(f"{sample.source}: {names} files are laid out so: say which it is with --format")
        found = by_name
    if found:
        return found[0]
    begins = ",".join(sample.names or sample.document)[:80]
    if set(REQUIRED) <= set(sample.names):
        told = "it is a recording already: put it into the folder as it is"
    elif wanted:
        told = f"not laid out as {FORMATS[wanted].title} ({FORMATS[wanted].url}); it begins with {begins!r}"
    else:
        told = f"unknown layout; it begins with {begins!r}. Known are {', '.join(FORMATS)}"
    raise RefusedError(f"{sample.source}: {told}")


@dataclass(frozen=True)
class Meaning:
    """What a file's bars are: their timeframe, the zone of times that do not say theirs (None: there are none), and
    whether a time is its bar's `start` or `end`."""

    timeframe: Timeframe
    zone: str | None
    label: str


def meaning(
    piece: rows.Piece,
    sample: Sample,
    format: Format,
    layout: Layout,
    options: Options,
    naming: Naming,
    report: FileReport,
) -> Meaning:
    """What the file's bars are, by its first rows where neither layout nor options say it; and why, in the report.

    Raises:
        RefusedError: something is not known, with the options that say it, or is contradicted.
    """
    bars: list[_Bars] = []
    named: dict[str, str] = {}
    unnamed: list[str] = []
    local = [np.empty(0, np.int64)]
    for series in layout.series:
        times = rows.times(piece, layout, series)
        local.append(times.ns[times.good & ~times.zoned])
        for vendors, chosen in rows.by_symbol(piece, series):
            asset_class = format.asset_class or "crypto"
            try:
                symbol, asset_class = naming.of(vendors, format)
                named[symbol] = vendors or ""
            except ValueError as error:
                unnamed.append(str(error))
            good = chosen & times.good
            bars.append((times.ns[good], asset_class, bool(times.zoned[good].all())))
    # Beside symbols that are known the rows of others are rejected.
    questions = [] if named else unnamed
    asked = _Asked(sample, layout, options, questions, report)
    if named:
        report.facts["symbol"] = asked.symbol(named)
    timeframe = asked.timeframe(bars)
    wall = np.concatenate(local)
    found = Meaning(timeframe, asked.zone(timeframe, len(wall) > 0), asked.label(timeframe, wall))
    if questions:
        raise RefusedError(f"{sample.source}: {'; '.join(dict.fromkeys(questions))}")
    return found


@dataclass(frozen=True)
class _Asked:
    """The answers of one file and its options; what has none is added to the questions."""

    sample: Sample
    layout: Layout
    options: Options
    questions: list[str]
    report: FileReport

    def _refused(self, why: str) -> RefusedError:
        return RefusedError(f"{self.sample.source}: {why}")

    def symbol(self, named: dict[str, str]) -> Fact:
        series = self.layout.series[0]
        why = series.symbol.why if series.symbol else "its column" if "symbol" in series.columns else ""
        spelt = ", ".join(vendors for vendors in list(named.values())[:_NAMED] if vendors not in ("", *named))
        is_told = self.options.symbol or any(vendors in self.options.symbols for vendors in named.values())
        reasons = [f"{spelt} by {why}" if spelt else why, "--symbol" if is_told else ""]
        more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
        return Fact(", ".join(list(named)[:_NAMED]) + more, ", ".join(filter(None, reasons)))

    def timeframe(self, bars: list[_Bars]) -> Timeframe:
        said, wanted = self.layout.timeframe, self.options.timeframe
        inferred, why, distances = clock.inferred(bars)
        try:
            stated = vendors_timeframe(said.value) if said else None
        except ValueError as error:
            raise self._refused(str(error)) from error
        is_name = said is not None and said.why == FILE_NAME
        if wanted and stated and wanted != stated and not is_name:
            raise self._refused(f"its bars are of {stated} ({said and said.why}): leave --timeframe {wanted} out")
        timeframe = wanted or stated or inferred
        if timeframe is None:
            self.questions.append(f"its timeframe is not in it ({why}): say it with --timeframe, as in 1Min or 1Day")
            return Timeframe(1, "Min")
        source = "--timeframe" if wanted else said.why if said else why
        is_shorter = inferred is not None and inferred.minutes < timeframe.minutes
        if inferred and inferred != timeframe and (is_shorter if wanted else is_name and distances >= _ENOUGH):
            raise self._refused(
                f"{source} says {timeframe}, and its bars are {inferred} apart ({why}): say it with --timeframe"
            )
        self.report.facts["timeframe"] = Fact(timeframe, source)
        return timeframe

    def zone(self, timeframe: Timeframe, is_local: bool) -> str | None:
        said, wanted = self.layout.zone, self.options.timezone
        if not is_local:
            self.report.facts["time zone"] = Fact("UTC", "the times have an offset")
            return None
        if not timeframe.intraday:
            self.report.facts["time zone"] = Fact("the market's own", "dates")
            return None
        if said and wanted and wanted != said.value:
            raise self._refused(f"its times are {said.value}'s ({said.why}): leave --timezone {wanted} out")
        if not said and not wanted:
            self.questions.append("its times have no zone: say it with --timezone, as in America/New_York or UTC")
            return None
        fact = said or Fact(wanted, "--timezone")
        self.report.facts["time zone"] = fact
        return str(fact.value)

    def label(self, timeframe: Timeframe, wall: NDArray[np.int64]) -> str:
        said, wanted = self.layout.label, self.options.label
        if not timeframe.intraday:
            said, wanted = Fact("start", "days, weeks and months are named by theirs"), None
        elif said is None and self.layout.label_in:
            said = self.layout.label_in(wall)
        if said and wanted and said.value != wanted:
            raise self._refused(f"a time is its bar's {said.value} ({said.why}): leave --label {wanted} out")
        if not said and not wanted:
            self.questions.append("a time may be its bar's start or its end: say --label start or --label end")
            return "start"
        fact = said or Fact(wanted, "--label")
        self.report.facts["label"] = fact
        return str(fact.value)
