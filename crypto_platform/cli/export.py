"""`crypto-platform export`: bars as files for other tools."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.export.formats import Format
    from crypto_platform.export.request import ExportReport, ExportRequest
    from crypto_platform.export.writing import Progress
    from crypto_platform.settings import Settings

FAILURE, USAGE = 1, 2


class FormatName(StrEnum):
    """What can be written."""

    PARQUET = "parquet"
    CSV = "csv"
    LEAN = "lean"
    ICEBERG = "iceberg"
    NAUTILUS = "nautilus"


class AdjustmentName(StrEnum):
    """As Alpaca's."""

    RAW = "raw"
    SPLIT = "split"
    ALL = "all"


def _day(name: str, help: str) -> Any:
    return typer.Option(name, formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help=help)


def export(
    form: Annotated[FormatName, typer.Option("--to", help="What to write.")],
    out: Annotated[Path, typer.Option("--out", help="The folder: new, empty, or an export of the same kind.")],
    symbols: Annotated[str, typer.Option("--symbols", help="Separated by commas; all of --feed where left out.")] = "",
    start: Annotated[datetime | None, _day("--start", "First UTC day; left out: the first there is.")] = None,
    end: Annotated[datetime | None, _day("--end", "The UTC day after the last; left out: all there is.")] = None,
    timeframe: Annotated[
        str, typer.Option("--timeframe", help="A feed's own, or 5Min, 15Min, 1Hour, 1Day made of it.")
    ] = "1Day",
    adjustment: Annotated[
        AdjustmentName, typer.Option("--adjustment", help="Of stocks: raw, by splits, or for total return.")
    ] = AdjustmentName.RAW,
    as_of: Annotated[
        str,
        typer.Option("--as-of", metavar="TIME", help="Bars as known then, 2026-06-01T12:00:00Z; else as built last."),
    ] = "",
    feed: Annotated[str, typer.Option("--feed", help="Whose bars, where several feeds have them.")] = "",
    gzip: Annotated[bool, typer.Option("--gzip", help="CSV: compress each file.")] = False,
) -> None:
    """Write bars into a folder, for other tools; run again, only what has changed since.

    A folder holds bars of one timeframe, adjustment and moment, of all symbols and days that were ever asked for; its
    manifest.json has each file's bars and SHA-256. It is replaced as a whole: whatever ends an export leaves the last.
    The embedded Snowflake is started for it when it is not up.

    Example: crypto-platform export --to parquet --out ~/bars --feed crypto --timeframe 1Min
    """
    from rich.console import Console

    from crypto_platform.export.request import EVER, ExportError, ExportRequest
    from crypto_platform.research import ReadError, WarehouseError
    from crypto_platform.research.moments import known_at
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    # Standard output is the report.
    console = Console(stderr=True)
    if gzip and form is not FormatName.CSV:
        raise typer.BadParameter("--gzip is for --to csv")
    try:
        request = ExportRequest(
            out=out,
            symbols=tuple(name.strip() for name in symbols.split(",") if name.strip()) or None,
            start=start.replace(tzinfo=UTC) if start else EVER[0],
            end=end.replace(tzinfo=UTC) if end else EVER[1],
            timeframe=timeframe,
            adjustment=adjustment.value,
            as_of=known_at(as_of or None),
            feed=feed or None,
        )
        with (
            supervise.sandbox(settings(), {"snowflake"}, display.starting(console)) as effective,
            _progress(console) as progress,
        ):
            report = _export(form, request, effective, progress, gzip)
    except (WarehouseError, ExportError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    except ReadError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    typer.echo(_said(report, out))


def _export(
    form: FormatName, request: "ExportRequest", settings: "Settings", progress: "Progress", gzip: bool
) -> "ExportReport":
    from crypto_platform.export.iceberg import export_iceberg
    from crypto_platform.export.lean import Lean
    from crypto_platform.export.nautilus import Nautilus
    from crypto_platform.export.run import export as run
    from crypto_platform.export.tables import Csv, Parquet
    from crypto_platform.research import CoverageWarning

    forms: dict[FormatName, Callable[[], Format]] = {
        FormatName.PARQUET: Parquet,
        FormatName.CSV: partial(Csv, gzip),
        FormatName.LEAN: Lean,
        FormatName.NAUTILUS: partial(Nautilus, request.adjustment),
    }
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CoverageWarning)
        if form is FormatName.ICEBERG:
            report = export_iceberg(request, settings, progress)
        else:
            report = run(request, forms[form](), settings, progress)
    for warning in told:
        typer.echo(str(warning.message), err=True)
    return report


@contextmanager
def _progress(console: "Console") -> "Iterator[Progress]":
    """A bar of files, with the bars in them and the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("writing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files {task.fields[bars]:>13,} bars"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None, bars=0)

        def show(written: int, files: int, bars: int) -> None:
            shown.update(task, completed=written, total=files, bars=bars)

        yield show


def _said(report: "ExportReport", out: Path) -> str:
    if report.written == report.removed == 0:
        return f"{out} is up to date: {report.bars:,} bars in {_files(report.unchanged)}."
    from rich.filesize import decimal

    removed = f", {report.removed:,} removed" if report.removed else ""
    return (
        f"{out}: {_files(report.written)} written with {report.bars_written:,} bars, {report.unchanged:,} unchanged"
        f"{removed}; {report.bars:,} bars and {decimal(report.size)} in all."
    )


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
