"""A universe of daily stocks over years of sessions, from the API to the marts; then a day of all US stocks on top.

`python -m bench.daily_history SYMBOLS FROM TO` runs the job of the feed of daily bars over the days [FROM, TO) once,
with the first so many of the recorded symbols in a universe's file.
"""

import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.long_range import TARGET_RSS, measured_run
from bench.many_symbols import with_models
from bench.stream import tickers
from crypto_platform.cli.runs import MaterializationRequest, materialize
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.sessions import nyse
from crypto_platform.market.universe import UniverseSpec
from crypto_platform.orchestration.feeds import BarFeed
from crypto_platform.settings import Settings, settings

FEED = "us_equity_daily"
SYMBOLS, ALL_SYMBOLS = 2_000, 11_000
SESSIONS_A_YEAR = 252
LAST = date(2026, 6, 1)
TARGET_YEARS, TARGET_SECONDS, TARGET_DAY_SECONDS = 10, 240.0, 45.0


def record(folder: Path, years: float) -> None:
    """Write the recordings: `SYMBOLS` stocks over the sessions up to `LAST`, and `ALL_SYMBOLS` on the one after it.

    Random walks, from a seed: the simulation of the sandbox makes each daily bar of its minutes, 390 times the work.
    """
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, symbols, days in (("history", SYMBOLS, _sessions(years)), ("day", ALL_SYMBOLS, [_day()])):
        closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (symbols, len(days))), axis=1))
        opens = closes * np.exp(rng.normal(0, 0.005, closes.shape))
        columns = {
            "symbol": pa.DictionaryArray.from_arrays(np.repeat(np.arange(symbols), len(days)), tickers(symbols)),
            "timestamp": np.tile(np.array(days, "datetime64[s]"), symbols),
            "open": opens.ravel(),
            "high": np.maximum(opens, closes).ravel() * 1.001,
            "low": np.minimum(opens, closes).ravel() * 0.999,
            "close": closes.ravel(),
            "volume": rng.integers(1_000, 1_000_000, closes.size).astype(float),
            "trade_count": rng.integers(10, 10_000, closes.size),
            "vwap": ((opens + closes) / 2).ravel(),
        }
        pq.write_table(pa.table(columns), folder / f"{name}_1Day.parquet")


def daily_history(own: Settings, years: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Over the recordings of `record`: all of the history in one run, then the day after it of all symbols."""
    days = _sessions(years)
    tell(f"daily history: {SYMBOLS:,} symbols x {len(days):,} sessions")
    history = _run(own, SYMBOLS, days[0], LAST + timedelta(days=1), SYMBOLS * len(days))
    tell(f"daily history: a day of {ALL_SYMBOLS:,} symbols")
    day = _run(own, ALL_SYMBOLS, _day(), _day() + timedelta(days=1), ALL_SYMBOLS)
    return {
        "symbols": [SYMBOLS, ALL_SYMBOLS],
        "sessions": len(days),
        "is_full": years >= TARGET_YEARS,
        "history": history,
        "day": day,
        "target_seconds": TARGET_SECONDS,
        "target_day_seconds": TARGET_DAY_SECONDS,
        "target_rss": TARGET_RSS,
    }


def _sessions(years: float) -> list[date]:
    return [day.date() for day in nyse().sessions_window(pd.Timestamp(LAST), -round(years * SESSIONS_A_YEAR))]


def _day() -> date:
    following: date = nyse().next_session(pd.Timestamp(LAST)).date()
    return following


def _run(own: Settings, symbols: int, start: date, end: date, bars: int) -> dict[str, Any]:
    arguments = [str(symbols), start.isoformat(), end.isoformat()]
    return measured_run(own, [sys.executable, "-m", "bench.daily_history", *arguments], bars)


def main() -> None:
    count, start, end = sys.argv[1:]
    file = Path(settings().crypto_platform_home) / "universe.csv"
    file.write_text("\n".join(tickers(int(count))))
    spec = feeds()[FEED].model_copy(update={"symbols": (), "universe": UniverseSpec(file=file)})
    feed = BarFeed(FEED, spec).build_defs(dg.ComponentTree.for_test().load_context)
    request = MaterializationRequest(FEED, date.fromisoformat(start), date.fromisoformat(end))
    run = materialize(request, definitions=with_models(feed))
    for error in run.errors:
        print(error)
    sys.exit(not run.ok)


if __name__ == "__main__":
    main()
