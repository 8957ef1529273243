"""The commands that take a feed's days through the stages: `materialize`, `backfill`, `republish`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.cli.runs import MaterializationRequest, Run
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.settings import Settings

FAILURE, USAGE = 1, 2

Feed = Annotated[str, typer.Option("--feed", help="The feed: a folder under crypto_platform/defs.")]
Symbols = Annotated[str, typer.Option("--symbols", help="Some of the feed's symbols only, separated by commas.")]

# Where the bars come from: at most one of them, see `SourceOption`.
Recordings = Annotated[
    Path | None,
    typer.Option("--recordings", help="Take the bars from this folder of CSV, CSV.gz or Parquet files."),
]
Simulated = Annotated[bool, typer.Option("--simulated", help="Take simulated bars.")]
Live = Annotated[bool, typer.Option("--live", help="Ask Alpaca itself; crypto needs no key.")]


def _day(name: str, help: str) -> Any:
    return typer.Option(name, formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help=help)


def materialize(
    feed: Feed,
    start: Annotated[datetime, _day("--from", "First UTC day.")],
    end: Annotated[datetime, _day("--to", "The UTC day after the last.")],
    symbols: Symbols = "",
    recordings: Recordings = None,
    simulated: Simulated = False,
    live: Live = False,
) -> None:
    """Take a feed's days through every stage in one Dagster run, recorded where the UI shows it.

    What is needed of the sandbox is started, and stopped after it, when it is not up.

    Example: crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-06-01
    """
    from crypto_platform.cli.console import stdout
    from crypto_platform.cli.runs import MaterializationRequest
    from crypto_platform.cli.source_option import SourceOption

    with usage():
        request = MaterializationRequest(feed, start.date(), end.date(), names(symbols))
        source = SourceOption(recordings, simulated, live)
    console = stdout()
    with systems(source, console):
        show(run(request, source, console), console)


def backfill(
    feed: Feed,
    start: Annotated[datetime, _day("--from", "First UTC day.")],
    end: Annotated[datetime, _day("--to", "The UTC day after the last.")],
    symbols: Symbols = "",
    missing_only: Annotated[
        bool, typer.Option("--missing-only", help="Only days that are not there and that no run is working on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and stop.")] = False,
) -> None:
    """Backfill a feed: print the plan, then take its days through every stage, one run a contiguous range.

    Interrupted, go on with the same command and --missing-only. `materialize` takes its days in one run, and can
    take them from another source; both run the feed's job in the same way, and the pools keep them apart.

    Example: crypto-platform backfill --feed crypto --from 2025-01-01 --to 2026-06-01 --missing-only
    """
    from crypto_platform.cli.console import plan_table, stdout
    from crypto_platform.cli.runs import MaterializationRequest, feed_named
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.connectors.lake import Lake
    from crypto_platform.ingestion.universe import union
    from crypto_platform.market.data_source import market
    from crypto_platform.market.day_ranges import days_in
    from crypto_platform.orchestration.automation import backfill as planning
    from crypto_platform.settings import settings

    with usage():
        chosen = names(symbols)
        request, spec = MaterializationRequest(feed, start.date(), end.date(), chosen), feed_named(feed)
        requested = union(request.chosen(Lake(settings().lake)))
        days, busy = (
            _missing_days(request, requested) if missing_only else (list(days_in((start.date(), end.date()))), [])
        )
        plan = planning.plan(settings(), feed, spec, requested, days)
    console = stdout()
    console.print(plan_table(request, requested, plan, market(settings())))
    if busy:
        console.print(f"{len(busy)} more days are being worked on by another run: {busy[0]} to {busy[-1]}.")
    if dry_run or not plan.ranges:
        return
    with systems(SourceOption(), console):
        for number, (first, after) in enumerate(plan.ranges, 1):
            if len(plan.ranges) > 1:
                console.print(f"Run {number} of {len(plan.ranges)}: [{first}, {after})")
            show(run(MaterializationRequest(feed, first, after, chosen), SourceOption(), console), console)


def _missing_days(request: "MaterializationRequest", symbols: Sequence[str]) -> tuple[list[date], list[date]]:
    """The request's days that are not there, ascending: those that no run is working on, and those that one is."""
    import dagster as dg

    from crypto_platform.cli.runs import feed_named
    from crypto_platform.connectors.lake import Lake
    from crypto_platform.dagster_instance.home import dagster_home
    from crypto_platform.dagster_instance.orphaned_runs import end_abandoned
    from crypto_platform.market.day_ranges import days_in
    from crypto_platform.orchestration.automation.backfill import lacking
    from crypto_platform.orchestration.history import in_flight, materialised
    from crypto_platform.settings import settings

    with dg.DagsterInstance.from_config(str(dagster_home(settings()))) as instance:
        # A killed run is at work on nothing.
        end_abandoned(instance)
        there, working = materialised(instance, request.feed), in_flight(instance, request.feed)
    days = request.start, request.end
    missing = lacking(feed_named(request.feed), request.feed, symbols, days, there, Lake(settings().lake))
    busy = {day for days in working for day in days_in(days)}
    return [day for day in missing if day not in busy], [day for day in missing if day in busy]


def republish(
    feed: Feed,
    start: Annotated[datetime | None, _day("--from", "First UTC day; left out: the lake's first.")] = None,
    end: Annotated[datetime | None, _day("--to", "The UTC day after the last; left out: the lake's last.")] = None,
) -> None:
    """Publish the lake's days again and load them, after the topic or the ledger lost some of them.

    Offsets that are gone are given up, which RAW.LOADS keeps a row of; so are, without --from and --to, versions that
    were loaded and are gone from the ledger. Nothing is requested from Alpaca. What the ledger has stays as it is. Of
    trading statuses, which the lake does not have, offsets that are gone are given up alone.

    Example: crypto-platform republish --feed crypto
    """
    from crypto_platform.cli.console import stdout
    from crypto_platform.cli.runs import MaterializationRequest, feed_named
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.connectors.kafka.admin import TopicMissingError
    from crypto_platform.ingestion import topic_load
    from crypto_platform.ingestion.republish import stored
    from crypto_platform.market.bars import BARS
    from crypto_platform.market.data_source import again
    from crypto_platform.market.day_ranges import ONE_DAY, ranges
    from crypto_platform.settings import settings

    with usage():
        spec = feed_named(feed)
        days = stored(settings(), feed, spec.timeframe, start and start.date(), end and end.date())
    console = stdout()
    with systems(SourceOption(), console, {"kafka", "spark", "snowflake"}) as effective:
        for dataset in spec.followed:
            try:
                loss = topic_load.accept_loss(effective, feed, run_id="republish", dataset=dataset)
            except TopicMissingError:
                # A stock may not be halted for months.
                if dataset is BARS:
                    raise
                continue
            if loss.skipped != 0:
                given_up = "an unknown number of" if loss.skipped is None else f"{loss.skipped:,}"
                console.print(f"Gave up {given_up} messages of {loss.topic}: offsets {loss.before} → {loss.after}.")
        # Which days the ledger lost is not known for all: some of the lake's days would not make it whole.
        if start is None and end is None:
            lost = topic_load.accept_ledger_loss(effective, feed, run_id="republish")
            if lost.versions:
                console.print(f"Gave up {lost.versions:,} versions that are gone from the ledger.")
            if elsewhere := sorted(set(lost.days) - set(days)):
                command = again(feed, elsewhere[0], elsewhere[-1] + ONE_DAY)
                console.print(f"The lake has no file of {len(elsewhere)} of their days: {command}", soft_wrap=True)
        for first, after in ranges(days):
            request = MaterializationRequest(feed, first, after)
            show(run(request, SourceOption(), console, stages=("kafka", "raw")), console)


def names(symbols: str) -> tuple[str, ...]:
    return tuple(symbol.strip() for symbol in symbols.split(",") if symbol.strip())


@contextmanager
def usage() -> Iterator[None]:
    """What the command line asks for cannot be: exit code 2."""
    try:
        yield
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None


@contextmanager
def systems(source: "SourceOption", console: "Console", services: set[str] | None = None) -> Iterator["Settings"]:
    """The source and the systems that a run needs, up; their addresses in force for this process and dbt."""
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings, use

    try:
        with source.address(settings()) as addressed:
            wanted = services or set(supervise.PIPELINE)
            with supervise.sandbox(addressed, wanted, display.starting(console)) as effective:
                use(effective)
                yield effective
    except RuntimeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None


def run(request: "MaterializationRequest", source: "SourceOption", console: "Console", **options: Any) -> "Run":
    from crypto_platform.cli.console import progress_bars
    from crypto_platform.cli.runs import materialize as execute

    with progress_bars(console):
        return execute(request, tags={"alpaca_source": source.label}, **options)


def show(run: "Run", console: "Console") -> None:
    from crypto_platform.cli.console import run_table

    console.print(run_table(run))
    console.print(f"[dim]run {run.run_id}, {run.seconds:.1f} s[/dim]")
    if not run.ok:
        for error in dict.fromkeys(run.errors):
            typer.echo(error, err=True)
        raise typer.Exit(FAILURE)
