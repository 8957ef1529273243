"""The drill's command line: `python -m drill --help`."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, TypeVar

import dagster as dg
import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from crypto_platform.sandbox import display, supervise
from crypto_platform.sandbox.services import PLATFORM
from crypto_platform.settings import ENV_FILE_VARIABLE, Settings, use
from drill.faults import PATIENCE_SECONDS, Fault, Faults
from drill.receiver import Received, Receiver

# Until a fault counts as missed; what is wanted is a minute.
LIMIT_SECONDS = 240.0
WANTED_SECONDS = 60.0
QUICK = ("code", "daemon", "dagster", "watchdog")


T = TypeVar("T")


@dataclass
class Outcome:
    """What became of one fault; times in seconds, None when there was no alert."""

    fault: Fault
    fired: float
    alert: Received | None = None
    alerted_after: float | None = None
    recovered_after: float | None = None
    problem: str = ""


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what needs Kafka, Spark and Snowflake.")] = False,
) -> None:
    """Fire every fault, print its alert and how soon it came. Exit code 1: one was missed."""
    signal.signal(signal.SIGTERM, _terminate)
    console = Console(width=160, highlight=False)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder, Receiver() as receiver:
        settings = _settings(Path(folder), receiver.url)
        services = QUICK if quick else PLATFORM
        with supervise.sandbox(settings, services, display.starting(console)) as effective:
            began = time.time()
            # Dagster's instance is found by it.
            os.environ["DAGSTER_HOME"] = str(effective.dagster_home)
            use(effective)
            with dg.DagsterInstance.get() as instance:
                faults = Faults(effective, instance, began)
                rounds = [faults.of_dagster(), *faults.of_processes()]
                if not quick:
                    late, corrupted = faults.of_the_pipeline()
                    rounds = [[late], [corrupted], *rounds]
                outcomes = [one for each in rounds for one in _round(each, receiver, console)]
    console.print(_table(outcomes))
    slowest = max((one.alerted_after or 0.0 for one in outcomes), default=0.0)
    alerted = sum(one.alerted_after is not None for one in outcomes)
    recovered = sum(one.recovered_after is not None for one in outcomes)
    print(f"drill: {len(outcomes)} kinds, {alerted} alerted, {recovered} recovered, slowest {slowest:.0f} s")
    raise typer.Exit(0 if alerted == recovered == len(outcomes) else 1)


def _settings(home: Path, url: str) -> Settings:
    """An embedded default of the drill's own, whatever the environment says: nobody's systems are broken."""
    installed = Settings().installed
    os.environ[ENV_FILE_VARIABLE] = os.devnull
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    ports = {name: 0 for name in Settings.model_fields if name.endswith("_port")}
    return Settings(
        crypto_platform_home=home,
        sandbox_simulated=True,
        sandbox_startup_timeout_seconds=PATIENCE_SECONDS,
        dagster_code_module="drill.definitions",
        alert_webhook_url=SecretStr(url),
        # Each alert is timed on its own.
        alert_max_per_minute=1_000,
        **installed,
        **ports,  # type: ignore[arg-type]
    )


def _round(faults: Sequence[Fault], receiver: Receiver, console: Console) -> list[Outcome]:
    """Fire these at once and wait for their alerts, fix them at once and wait for their recoveries."""
    outcomes: list[Outcome] = []

    def fire(fault: Fault) -> None:
        one = _fire(fault, receiver)
        outcomes.append(one)
        said = f"alert after {one.alerted_after:.0f} s: {_title(one)}" if one.alerted_after is not None else "NO ALERT"
        console.print(f"{fault.name}: {said} {one.problem}", markup=False)

    def recover(one: Outcome) -> None:
        _recover(one, receiver)
        said = f"recovered after {one.recovered_after:.0f} s" if one.recovered_after is not None else "NOT RECOVERED"
        console.print(f"{one.fault.name}: {said} {one.problem}", markup=False)

    console.print(
        f"broken now, alerts expected within {LIMIT_SECONDS:.0f} s: {', '.join(f.name for f in faults)}", markup=False
    )
    _at_once(fire, faults)
    outcomes.sort(key=lambda one: [fault.name for fault in faults].index(one.fault.name))
    _at_once(recover, outcomes)
    return outcomes


def _at_once(action: Callable[[T], None], things: Iterable[T]) -> None:
    """Do it to each side by side; a Ctrl-C waits for none of them."""
    threads = [threading.Thread(target=action, args=(thing,), daemon=True) for thing in things]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _fire(fault: Fault, receiver: Receiver) -> Outcome:
    asked = time.time()
    try:
        fired = fault.fire()
    except Exception as error:
        return Outcome(fault, asked, problem=f"it could not be fired: {error}")
    one = Outcome(fault, fired if fired is not None else asked)
    # What Dagster records may have been told before it was asked for.
    after = 0.0 if fired is None else min(asked, fired) - 1
    one.alert = receiver.wait(fault.fingerprint, ("firing", "escalated"), after, LIMIT_SECONDS)
    if one.alert is not None:
        if fired is None:
            one.fired = datetime.fromisoformat(one.alert.alert["started_at"]).timestamp()
        one.alerted_after = max(0.0, one.alert.at - one.fired)
    return one


def _recover(one: Outcome, receiver: Receiver) -> None:
    if one.alert is None:
        return
    try:
        fixed_at = one.fault.recover()
    except Exception as error:
        one.problem = f"it could not be fixed: {error}"
        return
    fingerprint = one.alert.alert["fingerprint"]
    told = receiver.wait(fingerprint, ("resolved",), one.alert.at, LIMIT_SECONDS)
    if told is not None:
        one.recovered_after = max(0.0, told.at - fixed_at)


def _title(one: Outcome) -> str:
    return one.alert.text.splitlines()[0] if one.alert else ""


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="From the fault to the alert, from the fix to the recovery", title_justify="left")
    for column in ("fault", "alert, s", "recovery, s"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    table.add_column("the message's first line and what it says to run", overflow="fold")
    for one in outcomes:
        command = one.alert.alert["remediation"] if one.alert else ""
        said = f"{_title(one)}{f'{chr(10)}→ {command}' if command else ''}"
        table.add_row(one.fault.name, _seconds(one.alerted_after), _seconds(one.recovered_after), said or one.problem)
    return table


def _seconds(value: float | None) -> str:
    if value is None:
        return "[red]missed[/red]"
    return f"[red]{value:.0f}[/red]" if value > WANTED_SECONDS else f"{value:.0f}"


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(main)
