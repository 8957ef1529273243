"""`crypto-platform import`: other vendors' files of bars, made into recordings."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.importers.report import FileReport, Report, WrittenFile
    from crypto_platform.importers.run import RowLog

FAILURE = 1

# As `importers.formats` has them, whose imports `--help` does without; a test compares the two.
FORMATS = (
    "binance, kraken, kraken-rest, coinbase, coinbase-advanced, freqtrade, ccxt, alpaca-py, lean-equity, lean-crypto, "
    "yfinance, alpha-vantage, stooq"
)


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Files, zips, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of recordings; it is made where it is not there.")],
    format: Annotated[str | None, typer.Option("--format", help=f"Read the files as of one format: {FORMATS}.")] = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(help="What all the files are of (BTC/USD), or by the vendor's name, repeatable (XBTUSD=BTC/USD)."),
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="How long a bar is: 1Min, 15Min, 1Hour, 1Day, …")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of times that do not say theirs: UTC, America/New_York, …")
    ] = None,
    label: Annotated[
        Literal["start", "end"] | None, typer.Option(help="Whether a time is its bar's start or its end.")
    ] = None,
    last_bar: Annotated[
        Literal["keep", "drop"] | None,
        typer.Option(help="Keep or drop each file's newest bar, instead of looking whether it had ended."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take bars that differ from those in the folder, in their place.")
    ] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="Write every row that is not imported to this CSV: file, line, reason, detail.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
) -> None:
    """Make other vendors' files of bars into recordings, for `materialize --recordings`.

    A file is recognised by what is in it. What neither file nor vendor says (symbol, timeframe, time zone, whether a
    time is a bar's start) is asked for by an option. Every row is accounted for, prices keep their digits, and a file
    that cannot be imported stops no other. Importing a file again changes nothing. Exit code 1: a file was refused or
    a row rejected.

    Example: crypto-platform import BTCUSDT-1m-2026-0*.zip --symbol BTC/USD --out ~/my-bars
    """
    from crypto_platform.cli.console import stdout
    from crypto_platform.cli.pipeline import usage
    from crypto_platform.importers.options import Options
    from crypto_platform.importers.run import import_files
    from crypto_platform.sandbox.alpaca.recordings import RecordingError

    with usage():
        options = Options.of(format, symbol, timeframe, timezone, label, last_bar)
        if out.exists() and not out.is_dir():
            raise ValueError(f"--out {out} is a file: give a folder")
    console = stdout()
    try:
        with ExitStack() as stack:
            log = stack.enter_context(_log(rejected)) if rejected else None
            progress = stack.enter_context(_progress(console))
            report = import_files(files, out, options, replace=replace, dry_run=dry_run, progress=progress, log=log)
    except RecordingError as error:
        typer.echo(f"{error}. Nothing was imported: no recording beside a bad one is served.", err=True)
        raise typer.Exit(FAILURE) from None
    except OSError as error:
        typer.echo(f"{error}. Nothing was imported, {out} is as it was.", err=True)
        raise typer.Exit(FAILURE) from None
    for line in _lines(report, out, dry_run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not report.is_good:
        raise typer.Exit(FAILURE)


@contextmanager
def _log(path: Path) -> Iterator["RowLog"]:
    """A CSV that takes rows which are not imported."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "line", "reason", "detail"))
        yield lambda *row: writer.writerow(row)


@contextmanager
def _progress(console: "Console") -> "Iterator[Callable[[FileReport], None]]":
    """How many files and rows are read, on a terminal."""
    files = rows = 0
    with console.status("reading …") as status:

        def show(file: "FileReport") -> None:
            nonlocal files, rows
            files, rows = files + 1, rows + file.rows
            status.update(f"{_files(files)}, {rows:,} rows read …")

        yield show


def _lines(report: "Report", out: Path, dry_run: bool) -> Iterator[str]:
    recognised = ""
    for file in report.files:
        if file.facts and (known := "\n".join(_recognised(file))) != recognised:
            recognised = known
            yield known
        yield from _of_file(file)
    for written in report.written:
        yield f"{written.path}: {_change(written)}"
    refused = sum(bool(file.refused) for file in report.files)
    yield f"{_files(len(report.files))}, {_rows(report.files)}" + (f", {_files(refused)} refused" if refused else "")
    if dry_run:
        yield "A dry run: nothing was written."
    else:
        yield from _next(report.written, out)


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _recognised(file: "FileReport") -> Iterator[str]:
    """What the file was recognised as, and why."""
    yield f"{file.format}: {file.facts['format'].value}"
    width = max(map(len, file.facts))
    for name, fact in file.facts.items():
        told = fact.why if name == "format" else f"{fact.value} ({fact.why})"
        yield f"  {name:{width}}  {told}"


def _of_file(file: "FileReport") -> Iterator[str]:
    if file.refused:
        yield f"  refused: {file.refused}"
        return
    yield f"  {file.source}: {_rows([file])}"
    for text in file.notes:
        yield f"    note: {text}"
    for kind, reasons in (("left out", file.left_out), ("rejected", file.rejected)):
        for reason, count in reasons.items():
            examples = file.examples[reason]
            more = ", …" if count > len(examples) else ""
            yield f"    {kind}: {count:,} {reason}: {', '.join(examples)}{more}"


def _rows(files: "Sequence[FileReport]") -> str:
    """Rows in, and what became of them."""
    counts = {name: sum(getattr(file, name) for file in files) for name in _OUTCOMES}
    counts |= {"left out": sum(file.left_out.total() for file in files)}
    counts |= {"rejected": sum(file.rejected.total() for file in files)}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"{sum(file.rows for file in files):,} rows" + (f": {told}" if told else "")


_OUTCOMES = ("written", "replaced", "unchanged", "duplicate")


def _change(written: "WrittenFile") -> str:
    bars = f"{written.bars:,} bars of {written.symbol} {written.timeframe}, {written.first} to {written.last}"
    changes = [f"{count:,} {name}" for count, name in ((written.new, "new"), (written.replaced, "replaced")) if count]
    return f"{bars}, {', '.join(changes) or 'unchanged'}"


def _next(written: "Sequence[WrittenFile]", out: Path) -> Iterator[str]:
    """The commands that take the bars through the stages."""
    from crypto_platform.market.feed_spec import feeds

    ranges: dict[tuple[str, str], list[date]] = {}
    for file in written:
        if file.bars:
            days = ranges.setdefault((file.symbol, file.timeframe), [])
            days += [date.fromisoformat(edge[:10]) for edge in (file.first, file.last)]
    for (symbol, timeframe), days in ranges.items():
        first, last = min(days), max(days)
        names = [n for n, s in feeds().items() if s.timeframe == timeframe and symbol in s.symbols]
        if not names:
            yield (
                f"No feed has {symbol} of {timeframe} among its symbols: add it to one (README.md, Add a symbol), or "
                f"import it as a symbol that one has: --symbol"
            )
        for name in names:
            first = max(first, feeds()[name].start_date)
            if first <= last:
                yield (
                    f"Next: crypto-platform materialize --feed {name} --from {first} --to {last + timedelta(days=1)} "
                    f"--symbols {symbol} --recordings {out}"
                )
