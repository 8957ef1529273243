"""A universe of daily stocks over a year of sessions, from the API to the marts: ten times the symbols, at what cost?

`python -m bench.universe PREFIX SYMBOLS FROM TO` runs the job of the feed of daily bars over the days [FROM, TO) once,
with so many simulated symbols in a universe's file.
"""

import itertools
import string
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from bench.long_range import TARGET_RATIO, measured_run
from bench.many_symbols import with_models
from crypto_platform.cli.runs import MaterializationRequest, materialize
from crypto_platform.market.day_ranges import days_in
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.sessions import trading_hours
from crypto_platform.market.universe import UniverseSpec
from crypto_platform.orchestration.feeds import BarFeed
from crypto_platform.settings import Settings, settings

FEED = "us_equity_daily"
FEW, MANY = 200, 2_000
WARM_UP, FIRST_FEW, FIRST_MANY = date(2022, 6, 1), date(2023, 1, 3), date(2024, 1, 2)


def universe(own: Settings, sessions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """`FEW` and `MANY` symbols, each over so many sessions of its own year, after a day that warms the systems up."""
    tell("universe: warming up")
    _run(own, "W", FEW, WARM_UP, 1)
    found = []
    for prefix, symbols, first in (("F", FEW, FIRST_FEW), ("M", MANY, FIRST_MANY)):
        tell(f"universe: {symbols:,} symbols x {sessions} sessions")
        found.append(_run(own, prefix, symbols, first, sessions))
    few, many = found
    return {
        "symbols": [FEW, MANY],
        "sessions": sessions,
        "each": found,
        "ratio": many["seconds_with_dbt"] / few["seconds_with_dbt"],
        "steps": {step: [few["run"]["steps"][step], seconds] for step, seconds in many["run"]["steps"].items()},
        "target_ratio": TARGET_RATIO,
    }


def _run(own: Settings, prefix: str, symbols: int, first: date, sessions: int) -> dict[str, Any]:
    end = first
    while sum(bool(trading_hours("us_equity", day)) for day in days_in((first, end))) < sessions:
        end += timedelta(days=1)
    arguments = [prefix, str(symbols), first.isoformat(), end.isoformat()]
    return measured_run(own, [sys.executable, "-m", "bench.universe", *arguments], symbols * sessions)


def main() -> None:
    prefix, count, start, end = sys.argv[1:]
    letters = itertools.islice(itertools.product(string.ascii_uppercase, repeat=3), int(count))
    file = Path(settings().crypto_platform_home) / f"universe_{prefix}.csv"
    file.write_text("\n".join(prefix + "".join(three) for three in letters))
    spec = feeds()[FEED].model_copy(update={"symbols": (), "universe": UniverseSpec(file=file)})
    feed = BarFeed(FEED, spec).build_defs(dg.ComponentTree.for_test().load_context)
    request = MaterializationRequest(FEED, date.fromisoformat(start), date.fromisoformat(end))
    run = materialize(request, definitions=with_models(feed))
    for error in run.errors:
        print(error)
    sys.exit(not run.ok)


if __name__ == "__main__":
    main()
