"""What a run looks like in a terminal: bars of progress while it works, tables when it is done."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from crypto_platform.cli.runs import MaterializationRequest, Run
from crypto_platform.connectors.snowflake.query import Result, text
from crypto_platform.ingestion import progress
from crypto_platform.market.feed_spec import named

if TYPE_CHECKING:
    # It imports alpaca-py, and so pandas: half a second of every command.
    from crypto_platform.orchestration.automation.backfill import BackfillPlan

WIDTH_OF_A_FILE = 160

RANGES_SHOWN = 10


def stdout() -> Console:
    """This process's output as it is now, wide enough for tables where no terminal sets a width."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)


@contextmanager
def progress_bars(console: Console) -> Iterator[None]:
    """Show the stages of this process's run, a bar each: days or hops, bars, rate, time passed and left."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[bars]:>10,} bars"),
        TextColumn("{task.fields[rate]:>8,} bars/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console, transient=True) as display:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int, unit: str, bars: int) -> None:
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total, bars=0, rate=0, unit=unit)
            elapsed = display.tasks[tasks[stage]].elapsed
            rate = round(bars / elapsed) if elapsed else 0
            display.update(tasks[stage], completed=done, total=total, bars=bars, rate=rate)

        with progress.listening(show):
            yield


def plan_table(request: MaterializationRequest, symbols: Sequence[str], plan: "BackfillPlan", source: str) -> Table:
    """The plan of a backfill: days, runs, bars, their source, requests, and the least time that these take."""
    table = Table(title=f"{request.feed}: [{request.start}, {request.end})", title_justify="left", show_header=False)
    wanted = (request.end - request.start).days
    table.add_row("days", f"{plan.days:,} of {wanted:,}")
    shown = [f"[{first}, {after})" for first, after in plan.ranges]
    more = [f"and {len(shown) - RANGES_SHOWN} more"] if len(shown) > RANGES_SHOWN else []
    table.add_row("runs", "\n".join(Text(line).plain for line in [str(len(shown)), *shown[:RANGES_SHOWN], *more]))
    table.add_row("symbols", named(symbols))
    table.add_row("bars", f"about {plan.bars:,}")
    table.add_row("source", source)
    table.add_row("requests", f"{plan.requests:,} at the least")
    limit = f"at {plan.limit} a minute (ALPACA_REQUESTS_PER_MINUTE)"
    table.add_row("minimum duration", f"{timedelta(seconds=plan.least_seconds)}, {limit}")
    return table


def run_table(run: Run) -> Table:
    """A row a stage: days, bars, new, unchanged and rejected versions, seconds, bars/s."""
    request = run.request
    symbols = f", {', '.join(request.symbols)}" if request.symbols else ""
    origin = next((f", {s.metadata['origin']} bars" for s in run.stages if "origin" in s.metadata), "")
    title = f"{request.feed}{symbols}: [{request.start}, {request.end}){origin}"
    table = Table(title=title, title_justify="left")
    table.add_column("stage")
    for column in ("days", "bars", "new", "unchanged", "rejected", "seconds", "bars/s"):
        table.add_column(column, justify="right")
    days = (request.end - request.start).days
    for stage in run.stages:
        found, bars = stage.metadata, stage.records
        own = [_number(found.get(name)) for name in ("loaded", "unchanged", "rejected")]
        rate = bars / stage.seconds if bars and stage.seconds else None
        table.add_row(stage.name, f"{days:,}", _number(bars), *own, f"{stage.seconds:.1f}", _number(rate))
    return table


def result_table(result: Result, title: str | None = None) -> Table:
    """The rows of a query, every value in full."""
    table = Table(title=title, title_justify="left")
    for column in result.columns:
        table.add_column(Text(column), overflow="fold")
    for row in result.rows:
        cells = (text(value) for value in row)
        table.add_row(*(Text("NULL", style="dim") if cell is None else Text(cell) for cell in cells))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
