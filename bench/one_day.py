"""One day of BTC/USD as a user starts it: `crypto-platform materialize`, from launching it to the end of dbt."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.long_range import TARGET_RSS
from bench.runs import Recorded, last_run
from bench.systems import finish, processes, script, start
from bench.usage import watching
from crypto_platform.settings import Settings

FIRST_DAY = date(2026, 3, 1)
# Of the second build dbt's server parses the project, once.
WARM_UP = 2
TARGET_SECONDS, TARGET_OWN_SECONDS = 9.0, 3.0


@dataclass(frozen=True)
class Measured:
    """Seconds of the whole command, CPU seconds and memory at most (bytes) by program, and what the run recorded."""

    seconds: float
    cpu: dict[str, float]
    peak_rss: dict[str, int]
    run: Recorded


def one_day(settings: Settings, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Load days one by one after some that warm the systems up, then load them again.

    The bars are the recorded ones of the project.
    """
    days = [FIRST_DAY + timedelta(days=n) for n in range(WARM_UP + runs)]
    tell("one day: warming up")
    for day in days[:WARM_UP]:
        _materialize(settings, day)
    first, again = [], []
    for measured, name in ((first, "new"), (again, "again")):
        for day in days[WARM_UP:]:
            tell(f"one day: {day}, {name}")
            measured.append(_materialize(settings, day))
    return {
        "runs": runs,
        "target_seconds": TARGET_SECONDS,
        "target_own_seconds": TARGET_OWN_SECONDS,
        "target_rss": TARGET_RSS,
        "first": _summary(first),
        "again": _summary(again),
        "again_to_first": median(m.seconds for m in again) / median(m.seconds for m in first),
    }


def _materialize(settings: Settings, day: date) -> Measured:
    output = Path(settings.crypto_platform_home) / "materialize.log"
    span = ["--from", day.isoformat(), "--to", (day + timedelta(days=1)).isoformat()]
    began = time.monotonic()
    process = start(settings, [script("crypto-platform"), "materialize", "--feed", "crypto", *span], output)
    with watching(processes(settings), {"run": process.pid}) as usage:
        finish(process, output)
        seconds = time.monotonic() - began
    return Measured(
        seconds,
        {name: used.cpu_seconds for name, used in sorted(usage.items())},
        {name: used.peak_rss for name, used in sorted(usage.items())},
        last_run(settings),
    )


def _summary(measured: list[Measured]) -> dict[str, Any]:
    """Medians, and every run as it was."""
    middle = {
        "seconds": median(m.seconds for m in measured),
        "own_seconds": median(m.run.own_seconds for m in measured),
        "processes": {
            name: {
                "peak_rss": max(m.peak_rss.get(name, 0) for m in measured),
                "cpu_seconds": median(m.cpu.get(name, 0.0) for m in measured),
            }
            for name in measured[0].cpu
        },
        "bars": median(m.run.bars for m in measured),
        "rows_added": sum(m.run.loaded for m in measured),
    }
    for part in ("steps", "hops"):
        names = getattr(measured[0].run, part)
        middle[part] = {name: median(getattr(m.run, part).get(name, 0.0) for m in measured) for name in names}
    return {**middle, "each": [asdict(m) for m in measured]}
