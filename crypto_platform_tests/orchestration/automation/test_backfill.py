import os
import re
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.market.day_ranges import days_in, ranges
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.automation import backfill
from crypto_platform.orchestration.history import materialised
from crypto_platform.settings import Settings

COMMAND = str(Path(sys.executable).parent / "crypto-platform")
D = date.fromisoformat
YEAR = (D("2025-01-01"), D("2026-01-01"))


def test_a_year_of_minutes_is_one_run_of_53_pages() -> None:
    spec = feeds()["crypto"]
    plan = backfill.plan(Settings(), "crypto", spec, spec.symbols, list(days_in(YEAR)))
    assert (plan.ranges, plan.days, plan.bars, plan.requests) == ([YEAR], 365, 365 * 1440, 53)
    assert plan.least_seconds == 0


def test_of_stocks_the_sessions_count() -> None:
    spec = feeds()["us_equity"]
    week = list(days_in((D("2025-11-24"), D("2025-12-01"))))  # Thanksgiving, and half a day on Friday
    plan = backfill.plan(Settings(), "us_equity", spec, spec.symbols, week)
    assert plan.bars == 3 * (3 * 26 + 14)


def test_the_limit_of_the_api_sets_the_least_time() -> None:
    spec = FeedSpec(asset_class="crypto", symbols=("BTC/USD", "ETH/USD"), start_date=YEAR[0])
    plan = backfill.plan(Settings(alpaca_requests_per_minute=50), "crypto", spec, spec.symbols, list(days_in(YEAR)))
    # A stream a symbol, 53 pages each: 50 at once, 50 a minute later, 6 after another.
    assert (plan.requests, plan.least_seconds) == (106, 120)


def test_missing_days_are_a_run_each_range_and_a_long_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = feeds()["crypto"]
    days = [*days_in((D("2025-03-01"), D("2025-03-04"))), *days_in((D("2025-05-01"), D("2025-05-02")))]
    plan = backfill.plan(Settings(), "crypto", spec, spec.symbols, days)
    assert plan.ranges == [(D("2025-03-01"), D("2025-03-04")), (D("2025-05-01"), D("2025-05-02"))]
    assert backfill.plan(Settings(), "crypto", spec, spec.symbols, []).ranges == []

    monkeypatch.setattr(backfill, "REQUESTS_A_RUN", 10)
    cut = backfill.plan(Settings(), "crypto", spec, spec.symbols, list(days_in(YEAR)))
    assert len(cut.ranges) > 1
    assert ranges(day for days in cut.ranges for day in days_in(days)) == [YEAR]
    assert all(first < after for first, after in cut.ranges)


def test_a_symbol_that_was_added_later_is_lacking_where_the_lake_is_without_it(tmp_path: Path) -> None:
    spec, lake = feeds()["us_equity"], Lake(str(tmp_path))
    wanted = D("2025-08-04"), D("2025-08-07")
    sections = {s: Section(datetime(2025, 9, 1, tzinfo=UTC), []) for s in ("SPY", "AAPL")}
    for day in days_in(wanted):
        lake.write_day(
            "us_equity", spec.timeframe, day, sections if day.day != 5 else {**sections, "NVDA": sections["SPY"]}, "r"
        )
    there = set(days_in((wanted[0], wanted[1] - timedelta(days=1))))

    def lacking(*symbols: str) -> list[int]:
        return [d.day for d in backfill.lacking(spec, "us_equity", symbols, wanted, there, lake)]

    assert lacking(*spec.symbols) == [6]
    assert lacking("SPY") == [6]
    assert lacking("NVDA") == [4, 6]


def start(settings: Settings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, "backfill", "--feed", "crypto", *arguments],
        env={**os.environ, **settings.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate()
    return process.returncode, output


def bars_by_day(settings: Settings, first: str, after: str) -> dict[date, tuple[int, int]]:
    """Rows and different bars a day."""
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            "SELECT bar_start::date, count(*), count(DISTINCT bar_start) FROM MARKET.RAW.CRYPTO_BARS "
            "WHERE symbol = 'BTC/USD' AND bar_start >= %s AND bar_start < %s GROUP BY 1",
            (first, after),
        )
        return {day: (count, distinct) for day, count, distinct in rows}


def test_overlapping_ones_share_and_a_killed_one_goes_on_with_what_is_missing(sandbox: Settings) -> None:
    # Dagster's SQLite tables are made by whoever is first; two at once would both try.
    with dg.DagsterInstance.from_config(str(dagster_home(sandbox))):
        pass
    one = start(sandbox, "--from", "2026-04-10", "--to", "2026-04-13")
    other = start(sandbox, "--from", "2026-04-11", "--to", "2026-04-15")
    results = [finished(one), finished(other)]
    assert [code for code, _ in results] == [0, 0], "\n".join(output for _, output in results)
    expected = dict.fromkeys(days_in((D("2026-04-10"), D("2026-04-15"))), (1440, 1440))
    assert bars_by_day(sandbox, "2026-04-10", "2026-04-15") == expected

    killed = start(sandbox, "--from", "2026-04-10", "--to", "2026-04-18", "--missing-only", CRASH_AT="after_copy")
    assert finished(killed)[0] == -signal.SIGKILL
    resumed, output = finished(start(sandbox, "--from", "2026-04-10", "--to", "2026-04-18", "--missing-only"))
    assert resumed == 0, output
    assert re.search(r"days\s+│ 3 of 8", output)
    assert "[2026-04-15, 2026-04-18)" in output
    expected = dict.fromkeys(days_in((D("2026-04-10"), D("2026-04-18"))), (1440, 1440))
    assert bars_by_day(sandbox, "2026-04-10", "2026-04-18") == expected
    with dg.DagsterInstance.from_config(str(sandbox.dagster_home)) as instance:
        assert materialised(instance, "crypto") >= set(expected)

    done, output = finished(start(sandbox, "--from", "2026-04-10", "--to", "2026-04-18", "--missing-only"))
    assert (done, "0 of 8" in output) == (0, True), output


def test_days_without_recordings_fail_with_what_there_is_and_what_else_can_be_taken(sandbox: Settings) -> None:
    code, output = finished(start(sandbox, "--from", "2026-06-10", "--to", "2026-06-11"))
    assert code == 1, output
    assert re.search(rf"source\s+│ recorded \({sandbox.sandbox_recordings}\)", output)
    assert "the recordings have no 1Min bar of BTC/USD in [2026-06-10, 2026-06-11). They hold" in output
    assert "BTC/USD 1Min: 132,480 bars, 2026-03-01T00:00:00Z to 2026-05-31T23:59:00Z" in output
    assert "simulated ones with --simulated" in output
