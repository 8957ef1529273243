"""The rehearsal's command line: `python -m rehearsal --help`."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crypto_platform.settings import Settings
from crypto_platform_tests.streaming.soak import Outcome
from rehearsal import backfill, jars
from rehearsal.clusters import running
from rehearsal.comparison import differences
from rehearsal.faults import Recovery
from rehearsal.live import live
from rehearsal.parts import Tell

# The Snowflake emulator, the Alpaca sandbox and Superset, which the platform's own supervisor starts.
_EMBEDDED = 3


def main(
    minutes: Annotated[float, typer.Option(min=0, help="Minutes of the live path; 0 leaves it out.")] = 5.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder with data and logs, and say where.")] = False,
) -> None:
    """Start the clusters, take a month and the live path through them, kill each part, compare, end everything.

    Exit code 1: a part did not start, or something is lost, doubled or otherwise than undisturbed.
    """
    signal.signal(signal.SIGTERM, _terminate)
    console = Console(width=160, highlight=False, soft_wrap=True)
    began = time.monotonic()

    def tell(what: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {what}", markup=False)

    folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    # Postgres runs as another user than root.
    folder.chmod(0o711)
    try:
        code = _rehearse(Settings(), folder, minutes, tell, console)
    # Of a part, a run, the jars; of the live path, which says what did not become true.
    except (RuntimeError, TimeoutError, AssertionError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        code = 130
    finally:
        if keep:
            print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


def _rehearse(installed: Settings, folder: Path, minutes: float, tell: Tell, console: Console) -> int:
    jars.fetch(installed)
    expected = backfill.undisturbed(installed, folder / "embedded", tell)
    with running(installed, folder, tell) as clusters:
        rehearsed = backfill.rehearse(installed, folder / "platform", clusters, tell)
        found = differences(expected, rehearsed.tables)
        wrong = [*map(str, found), *rehearsed.unaccounted, *rehearsed.shown.failed]
        tell(f"{len(expected)} tables compared with the undisturbed run: {'; '.join(map(str, found)) or 'all alike'}")
        for line in (*rehearsed.unaccounted, *rehearsed.shown.failed):
            tell(line)
        streamed, killed = live(installed, folder / "live", clusters, minutes, tell) if minutes else (Outcome(), [])
        parts = len(clusters.parts.parts) + _EMBEDDED
        tell(f"memory of the clusters: {clusters.parts.memory() / 2**30:.1f} GiB")
    disturbed = [recovery for run in rehearsed.runs.values() for recovery in run.recoveries]
    disturbed.append(rehearsed.shown.recovery)
    console.print(_table([*disturbed, *killed]))
    for feed, run in rehearsed.runs.items():
        console.print(f"{feed}: through after {run.attempts} runs", markup=False)
    shown = rehearsed.shown
    console.print(f"dashboards: {shown.answers - len(shown.failed)} of {shown.answers} queries of charts answered")
    for kind, count in sorted(streamed.faults.items()):
        console.print(f"live path, {kind}: {count}", markup=False)
    for line in streamed.wrong:
        console.print(line, markup=False)
    bars = streamed.bars + sum(held.rows.total() for name, held in rehearsed.tables.items() if _is_ledger(name))
    lost, doubled = streamed.lost + sum(d.lost for d in found), streamed.doubled + sum(d.doubled for d in found)
    # The market's own corrections of bars are in its count, and no fault.
    faults = len(disturbed) + streamed.faults.total() - streamed.faults["correction"]
    print(f"rehearsal: {parts} parts, {faults} faults, {bars} bars, {lost} lost, {doubled} doubled")
    return 1 if wrong or streamed.wrong or lost or doubled else 0


def _is_ledger(table: str) -> bool:
    return table.startswith("RAW.") and table.endswith("_BARS") and table != "RAW.REJECTED_BARS"


def _table(recoveries: list[Recovery]) -> Table:
    table = Table(title="From kill -9 to the recovery", title_justify="left")
    for column in ("fault", "killed"):
        table.add_column(column)
    for column in ("answers, s", "whole, s"):
        table.add_column(column, justify="right")
    for one in recoveries:
        table.add_row(one.name, one.killed, f"{one.answered:.1f}", f"{one.whole:.1f}")
    return table


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(main)
