"""Many symbols over many simulated days in one run: from the API to RAW, and on through dbt."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.runs import last_run
from bench.systems import BenchError, finish, processes, start
from bench.usage import watching
from crypto_platform.settings import Settings

FIRST_DAY = date(2025, 1, 1)
WARM_UP_DAY = date(2026, 6, 1)
TARGET_TO_RAW, TARGET_WITH_DBT, TARGET_SPARK = 100_000, 80_000, 250_000
TARGET_RSS = 2**30
TARGET_RATIO = 11.0
SHORT, LONG, SYMBOLS = 36, 360, 4
BARS_A_DAY = 1440


def year(settings: Settings, symbols: int, days: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Load the days from 2025-01-01 on, with dbt, after a day of another time that warms the systems up."""
    tell("year: warming up")
    long_range(settings, symbols, 1, WARM_UP_DAY)
    tell(f"year: {symbols} symbols x {days} days, {symbols * days * BARS_A_DAY:,} bars")
    return long_range(settings, symbols, days, FIRST_DAY)


def linearity(settings: Settings, runs: int, scale: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Ten times the bars, at how many times the cost? Medians of runs without dbt over days of their own."""
    tell("linearity: warming up")
    long_range(settings, SYMBOLS, 1, WARM_UP_DAY, with_dbt=False)
    days = max(1, round(SHORT * scale))
    short, first = [], FIRST_DAY
    for number in range(runs):
        tell(f"linearity: {days} days, {number + 1} of {runs}")
        short.append(long_range(settings, SYMBOLS, days, first, with_dbt=False))
        first += timedelta(days=days)
    tell(f"linearity: {days * 10} days")
    long = long_range(settings, SYMBOLS, days * 10, first, with_dbt=False)
    return {
        "symbols": SYMBOLS,
        "days": [days, days * 10],
        "bars": [short[0]["bars"], long["bars"]],
        "seconds": [median(run["seconds_to_raw"] for run in short), long["seconds_to_raw"]],
        "ratio": long["seconds_to_raw"] / median(run["seconds_to_raw"] for run in short),
        "target_ratio": TARGET_RATIO,
        "each": [*short, long],
    }


def long_range(settings: Settings, symbols: int, days: int, first: date, with_dbt: bool = True) -> dict[str, Any]:
    """Run so many days from `first` on, in a process of its own.

    Raises:
        BenchError: the run failed, or the lake or the ledger did not get every bar.
    """
    end = first + timedelta(days=days)
    options = [] if with_dbt else ["--without-dbt"]
    command = [sys.executable, "-m", "bench.many_symbols", str(symbols), first.isoformat(), end.isoformat()]
    found = measured_run(settings, [*command, *options], symbols * days * BARS_A_DAY)
    return {"symbols": symbols, "days": days, **found}


def measured_run(settings: Settings, command: list[str], expected: int) -> dict[str, Any]:
    """Run a command that materialises so many new bars once: seconds of its steps, memory of each program (bytes).

    Raises:
        BenchError: the run failed, or the lake or the ledger did not get every bar.
    """
    output = Path(settings.crypto_platform_home) / "long-range.log"
    began = time.monotonic()
    process = start(settings, command, output)
    with watching(processes(settings), {"run": process.pid}) as usage:
        finish(process, output)
        seconds = time.monotonic() - began
    run = last_run(settings)
    if run.bars != expected or run.loaded != expected:
        raise BenchError(
            f"{' '.join(command[2:])}: {expected:,} bars were expected; the run extracted {run.bars:,} and loaded "
            f"{run.loaded:,}"
        )
    to_raw = sum(taken for step, taken in run.steps.items() if step != "models")
    return {
        "bars": run.bars,
        "seconds": seconds,
        "seconds_to_raw": to_raw,
        "seconds_with_dbt": sum(run.steps.values()),
        "bars_per_second_to_raw": run.bars / to_raw,
        "bars_per_second_with_dbt": run.bars / sum(run.steps.values()),
        "target_to_raw": TARGET_TO_RAW,
        "target_with_dbt": TARGET_WITH_DBT,
        "target_spark": TARGET_SPARK,
        "target_rss": TARGET_RSS,
        "run": asdict(run),
        "hops": {name: {"seconds": taken, "bars_per_second": run.bars / taken} for name, taken in run.hops.items()},
        "processes": {
            name: {"peak_rss": used.peak_rss, "cpu_seconds": used.cpu_seconds} for name, used in sorted(usage.items())
        },
    }
