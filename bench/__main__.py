"""The command line: `python -m bench --help`."""

import json
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import report
from bench.dashboards import dashboards
from bench.event_log import event_log
from bench.long_range import linearity, year
from bench.machine import machine
from bench.models import models
from bench.one_day import one_day
from bench.other_tools import TOOLS, other_tool
from bench.research import research
from bench.scale import scale as of_scale
from bench.stream import burst, trickle
from bench.systems import BenchError, systems
from bench.universe import universe
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
    UNIVERSE = "universe"
    EVENT_LOG = "event-log"
    RESEARCH = "research"
    SCALE = "scale"


def main(
    sections: Annotated[list[Section] | None, typer.Argument(help="What to measure; all of it by default.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often the short ones are run; medians are shown.")] = 3,
    symbols: Annotated[int, typer.Option(min=1, help="Symbols of the year.")] = 10,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of the year.")] = 365,
    slice_days: Annotated[int, typer.Option(min=1, max=365, help="Days that the other tools are given.")] = 35,
    sessions: Annotated[int, typer.Option(min=1, max=250, help="Sessions of the universes.")] = 250,
    scale: Annotated[float, typer.Option(min=0.03, max=1, help="Part of the linearity's days.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes; else into CRYPTO_PLATFORM_HOME.")] = None,
) -> None:
    """Measure the platform on a sandbox of the bench's own: throughput of each hop, memory, and other tools beside it.

    Everything takes about ten minutes on two cores. Nothing of it is asserted: a target that is missed is shown.
    """
    chosen = sections or list(Section)
    console = Console(width=None if Console().is_terminal else 120)
    results: dict[str, Any] = {"machine": machine()}
    with console.status("…") as status:

        def tell(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(f"[dim]{what}[/dim]")

        failed = False
        for section in chosen:
            try:
                _measure(section, results, tell, runs, symbols, days, slice_days, sessions, scale)
            except BenchError as error:
                failed = True
                console.print(str(error), markup=False, style="red")
    folder = Settings().crypto_platform_home / "bench"
    file = output or folder / f"{results['machine']['date'].replace(':', '')[:17]}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2, default=str) + "\n")
    console.print(report.table(results))
    console.print(f"[dim]{file}[/dim]")
    raise typer.Exit(1 if failed else 0)


def _measure(
    section: Section,
    results: dict[str, Any],
    tell: Any,
    runs: int,
    symbols: int,
    days: int,
    slice_days: int,
    sessions: int,
    scale: float,
) -> None:
    if section is Section.EVENT_LOG:
        results["event_log"] = event_log(days, runs, tell)
        return
    with ExitStack() as stack:
        settings = stack.enter_context(systems(tell, simulated=section is not Section.ONE_DAY))
        if section is Section.ONE_DAY:
            results["one_day"] = one_day(settings, runs, tell)
        elif section is Section.YEAR:
            results["year"] = year(settings, symbols, days, tell)
        elif section is Section.UNIVERSE:
            results["universe"] = universe(settings, sessions, tell)
        elif section is Section.RESEARCH:
            results["research"] = research(settings, symbols, days, runs, tell)
        elif section is Section.SCALE:
            results["scale"] = of_scale(settings, runs, tell)
        elif section is Section.DASHBOARDS:
            results["dashboards"] = dashboards(settings, symbols, days, runs, tell)
        elif section is Section.LINEARITY:
            results["linearity"] = linearity(settings, runs, scale, tell)
        elif section is Section.MODELS:
            results["models"] = models(settings, symbols, days, runs, tell)
        elif section is Section.STREAM:
            # In this order: the live view would read all that the burst left, of which nothing is built.
            trickled = trickle(settings, 30, tell)
            results["stream"] = {"trickle": trickled, "burst": burst(settings, 11_000, 3, tell)}
        else:
            results["other_tools"] = {}
            for name in TOOLS:
                tell(f"{name}: {symbols} symbols x {min(days, slice_days)} days")
                results["other_tools"][name] = other_tool(name, settings, symbols, min(days, slice_days))


if __name__ == "__main__":
    typer.run(main)
