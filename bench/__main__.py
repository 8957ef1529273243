"""The command line: `python -m bench --help`."""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import report
from bench.daily_history import daily_history, record
from bench.dashboards import dashboards
from bench.event_log import event_log
from bench.executors import executors
from bench.long_range import linearity, year
from bench.machine import machine
from bench.models import models
from bench.one_day import one_day
from bench.other_tools import TOOLS, other_tool
from bench.research import research
from bench.scale import scale as of_scale
from bench.stream import burst, trickle
from bench.systems import BenchError, systems
from crypto_platform.settings import Settings


class Section(StrEnum):
    """What can be measured."""

    ONE_DAY = "one-day"
    YEAR = "year"
    OTHER_TOOLS = "other-tools"
    LINEARITY = "linearity"
    MODELS = "models"
    STREAM = "stream"
    DASHBOARDS = "dashboards"
    DAILY_HISTORY = "daily-history"
    EXECUTORS = "executors"
    EVENT_LOG = "event-log"
    RESEARCH = "research"
    SCALE = "scale"


# They take the year's bars, which are loaded once for all of them.
ON_THE_YEAR = (Section.YEAR, Section.OTHER_TOOLS, Section.RESEARCH, Section.DASHBOARDS, Section.MODELS)


@dataclass(frozen=True)
class Size:
    """How much is measured, as the options of the command line have it."""

    runs: int
    symbols: int
    days: int
    slice_days: int
    years: float
    scale: float


def main(
    sections: Annotated[list[Section] | None, typer.Argument(help="What to measure; all of it by default.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often the short ones are run; medians are shown.")] = 3,
    symbols: Annotated[int, typer.Option(min=1, help="Symbols of the year.")] = 10,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of the year.")] = 365,
    slice_days: Annotated[int, typer.Option(min=1, max=365, help="Days that the other tools are given.")] = 35,
    years: Annotated[float, typer.Option(min=0.1, max=20, help="Years of the daily history.")] = 10,
    scale: Annotated[float, typer.Option(min=0.03, max=1, help="Part of the linearity's days.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes; else into CRYPTO_PLATFORM_HOME.")] = None,
) -> None:
    """Measure the platform on a sandbox of the bench's own: throughput of each hop, memory, and other tools beside it.

    Nothing of it is asserted: a target that is missed is shown.
    """
    chosen = sections or list(Section)
    size = Size(runs, symbols, days, slice_days, years, scale)
    console = Console(width=None if Console().is_terminal else 120)
    results: dict[str, Any] = {"machine": machine()}
    with console.status("…") as status:

        def tell(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(f"[dim]{what}[/dim]")

        failed = False
        for group in _groups(chosen):
            try:
                _measure(group, results, tell, size)
            except BenchError as error:
                failed = True
                console.print(str(error), markup=False, style="red")
            except Exception:
                # What the other sections measured is kept.
                failed = True
                console.print_exception()
    folder = Settings().crypto_platform_home / "bench"
    file = output or folder / f"{results['machine']['date'].replace(':', '')[:17]}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2, default=str) + "\n")
    console.print(report.table(results))
    console.print(f"[dim]{file}[/dim]")
    raise typer.Exit(1 if failed else 0)


def _groups(chosen: list[Section]) -> list[list[Section]]:
    """The sections that share a sandbox."""
    shared = [section for section in ON_THE_YEAR if section in chosen]
    return [*([shared] if shared else []), *([section] for section in chosen if section not in shared)]


def _measure(group: list[Section], results: dict[str, Any], tell: Any, size: Size) -> None:
    symbols, days, runs = size.symbols, size.days, size.runs
    first = group[0]
    if first is Section.EVENT_LOG:
        results["event_log"] = event_log(days, runs, tell)
        return
    recorded = partial(record, years=size.years) if first is Section.DAILY_HISTORY else None
    is_simulated = first is not Section.ONE_DAY and recorded is None
    with systems(tell, simulated=is_simulated, record=recorded) as settings:
        if first in ON_THE_YEAR:
            results["year"] = year(settings, symbols, days, tell)
        for section in group:
            if section is Section.ONE_DAY:
                results["one_day"] = one_day(settings, runs, tell)
            elif section is Section.DAILY_HISTORY:
                results["daily_history"] = daily_history(settings, size.years, tell)
            elif section is Section.EXECUTORS:
                results["executors"] = executors(settings, symbols, runs, tell)
            elif section is Section.RESEARCH:
                results["research"] = research(settings, days, runs, tell)
            elif section is Section.SCALE:
                results["scale"] = of_scale(settings, runs, tell)
            elif section is Section.DASHBOARDS:
                results["dashboards"] = dashboards(settings, symbols, days, runs, tell)
            elif section is Section.LINEARITY:
                results["linearity"] = linearity(settings, runs, size.scale, tell)
            elif section is Section.MODELS:
                first_build = results["year"]["run"]["steps"]["models"]
                results["models"] = models(settings, symbols, days, runs, first_build, tell)
            elif section is Section.STREAM:
                # In this order: the live view would read all that the burst left, of which nothing is built.
                trickled = trickle(settings, 15, tell)
                results["stream"] = {"trickle": trickled, "burst": burst(settings, 11_000, 3, tell)}
            elif section is Section.OTHER_TOOLS:
                results["other_tools"] = {}
                for name in TOOLS:
                    tell(f"{name}: {symbols} symbols x {min(days, size.slice_days)} days")
                    found = other_tool(name, settings, symbols, min(days, size.slice_days), runs)
                    results["other_tools"][name] = found


if __name__ == "__main__":
    typer.run(main)
