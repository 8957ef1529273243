"""Whole runs: from the Alpaca sandbox to the daily facts, by Dagster, on the real systems."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from crypto_platform.cli.runs import MaterializationRequest, Run, materialize
from crypto_platform.cli.source_option import SourceOption
from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion.topic_load import accept_ledger_loss
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.asset_keys import stage_key
from crypto_platform.settings import PROJECT_ROOT, Settings, use
from crypto_platform_tests.orchestration.feed_definitions import definitions

RECORDINGS = PROJECT_ROOT / "recordings"
CASES = PROJECT_ROOT / "crypto_platform_tests" / "fixtures" / "cases"


def rows(sandbox: Settings, statement: str) -> list[tuple]:
    with connect(sandbox) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def stage(run: Run, name: str) -> dict:
    return next(s.metadata for s in run.stages if s.name == name)


def load(request: MaterializationRequest, stages: Sequence[str] | None = None) -> Run:
    """Run the request up to the ledger."""
    return materialize(request, stages, definitions=definitions(request.feed, feeds()[request.feed]))


def daily_by_pandas(path: Path, start: str, end: str) -> list[tuple]:
    """Open, high, low, close, exact volume and trades of each UTC day, straight from the recording."""
    frame = pd.read_parquet(path)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    frame = frame[(frame.timestamp >= start) & (frame.timestamp < end)].sort_values("timestamp")
    frame["volume"] = frame["volume"].map(repr).map(Decimal)
    days = frame.groupby(frame.timestamp.dt.date)
    return [
        (
            day,
            bars.open.iloc[0],
            bars.high.max(),
            bars.low.min(),
            bars.close.iloc[-1],
            float(sum(bars.volume)),
            int(bars.trade_count.sum()),
        )
        for day, bars in days
    ]


def assert_is_one_run_of_the_feeds_job(run: Run, days: set[str]) -> None:
    """Dagster has it as such, with the partitions of every stage and the checks."""
    with dg.DagsterInstance.get() as instance:
        record = instance.get_run_by_id(run.run_id)
        assert record is not None
        assert record.job_name == run.request.feed
        assert record.status == dg.DagsterRunStatus.SUCCESS
        for key in ("alpaca/crypto_alpaca_bars", "kafka/crypto_bars_topic", "raw/crypto_bars", "marts/fct_bars_1d"):
            done = instance.get_materialized_partitions(dg.AssetKey.from_user_string(key))
            assert days <= done, key
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(["raw", "crypto_bars"]), "ledger_completeness"), limit=1
        )
        assert checks[0].run_id == run.run_id


def test_a_range_becomes_daily_bars_equal_to_pandas_and_a_rerun_adds_nothing(platform: Settings) -> None:
    request = MaterializationRequest("crypto", date(2026, 3, 1), date(2026, 3, 4))
    first = materialize(request)
    assert first.ok, str(first.errors)
    assert stage(first, "raw")["loaded"] == 3 * 1440
    assert stage(first, "alpaca")["origin"] == "recorded"
    assert_is_one_run_of_the_feeds_job(first, {"2026-03-01", "2026-03-02", "2026-03-03"})
    facts = "SELECT bar_date, open, high, low, close, volume, trade_count FROM MARTS.FCT_BARS_1D "
    where = "WHERE symbol = 'BTC/USD' AND bar_date >= '2026-03-01' AND bar_date < '2026-03-04' ORDER BY bar_date"
    expected = daily_by_pandas(RECORDINGS / "BTC-USD_1Min.parquet", "2026-03-01", "2026-03-04")
    assert rows(platform, facts + where) == expected
    before = rows(platform, "SELECT count(*), max(loaded_at) FROM RAW.CRYPTO_BARS")

    again = materialize(request)
    assert again.ok, str(again.errors)
    assert (stage(again, "raw")["loaded"], stage(again, "raw")["unchanged"]) == (0, 3 * 1440)
    assert rows(platform, "SELECT count(*), max(loaded_at) FROM RAW.CRYPTO_BARS") == before
    assert rows(platform, facts + where) == expected


def test_a_killed_run_does_not_keep_its_topic(platform: Settings) -> None:
    request = MaterializationRequest("crypto", date(2026, 3, 15), date(2026, 3, 16))
    script = (
        "from datetime import date\nfrom crypto_platform.cli.runs import MaterializationRequest, materialize\n"
        f"materialize(MaterializationRequest('crypto', {request.start!r}, {request.end!r}))".replace(
            "datetime.date", "date"
        )
    )
    crashed = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "CRASH_AT": "after_copy"}, capture_output=True, check=False
    )
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr
    run = load(request)
    assert run.ok, str(run.errors)
    assert stage(run, "raw")["loaded"] == 1440
    with dg.DagsterInstance.get() as instance:
        states = {r.status for r in instance.get_runs(dg.RunsFilter(job_name="crypto"))}
    assert dg.DagsterRunStatus.STARTED not in states


def test_bars_that_cannot_be_are_rejected_and_the_others_are_facts(platform: Settings, tmp_path: Path) -> None:
    """The case's bars, on a day that the shipped recordings do not have."""
    (file,) = (CASES / "impossible-bars").glob("*.csv")
    (tmp_path / file.name).write_text(file.read_text().replace("2026-03-01", "2025-03-01"))
    with SourceOption(recordings=tmp_path).address(platform) as addressed:
        use(addressed)
        # A second run touches a day that has them.
        for loaded in (4, 0):
            run = materialize(MaterializationRequest("crypto", date(2025, 3, 1), date(2025, 3, 2)))
            assert run.ok, str(run.errors)
            raw = stage(run, "raw")
            assert (raw["loaded"], raw["rejected"]) == (loaded, 3)
    with dg.DagsterInstance.get() as instance:
        checks = {
            name: instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(dg.AssetKey(["raw", "crypto_bars"]), name), limit=1
            )[0]
            for name in ("no_rejected_messages", "ohlc_consistency")
        }
    assert checks["no_rejected_messages"].status.value == "FAILED"
    assert checks["ohlc_consistency"].status.value == "SUCCEEDED"
    reasons = (
        "SELECT reason FROM RAW.REJECTED_BARS "
        "WHERE load_id = (SELECT max_by(load_id, finished_at) FROM RAW.LOADS) ORDER BY kafka_offset"
    )
    assert rows(platform, reasons) == [
        ("open is outside of low and high",),
        ("vwap is outside of low and high",),
        ("volume is not a number from zero up",),
    ]
    facts = "SELECT bar_start::time::varchar, vwap FROM MARTS.FCT_BARS WHERE bar_date = '2025-03-01' ORDER BY 1"
    assert rows(platform, facts) == [("00:00:00", None), ("00:01:00", 101), ("00:02:00", None), ("00:03:00", 104.6)]
    daily = "SELECT low, high, vwap FROM MARTS.FCT_BARS_1D WHERE bar_date = '2025-03-01'"
    assert rows(platform, daily) == [(90, 110, pytest.approx((2 * 101 + 104.6) / 3))]


def test_days_without_a_session_are_counted_zeros_with_the_reason(platform: Settings) -> None:
    run = load(MaterializationRequest("us_equity", date(2025, 7, 3), date(2025, 7, 6)))
    assert run.ok, str(run.errors)
    with dg.DagsterInstance.get() as instance:
        found = {}
        for record in instance.fetch_materializations(stage_key("us_equity", "alpaca"), limit=100).records:
            assert record.asset_materialization
            metadata = record.asset_materialization.metadata
            found.setdefault(record.partition_key, metadata)
    assert found["2025-07-03"]["bar_count"].value > 0
    assert "empty_reason" not in found["2025-07-03"]
    assert found["2025-07-04"]["empty_reason"].value == "no session: July 4th"
    assert found["2025-07-05"]["empty_reason"].value == "no session: Saturday"


def test_some_symbols_only(platform: Settings) -> None:
    lake = Lake(platform.lake)
    days = date(2025, 8, 5), date(2025, 8, 6)
    one = load(MaterializationRequest("us_equity", *days, ("SPY",)))
    assert one.ok, str(one.errors)
    assert list(stage(one, "alpaca")["bars_by_symbol"]) == ["SPY"]
    assert list(lake.counts("us_equity", "15Min", days[0])) == ["SPY"]
    rest = load(MaterializationRequest("us_equity", *days, ("AAPL", "NVDA")))
    assert rest.ok, str(rest.errors)
    assert list(lake.counts("us_equity", "15Min", days[0])) == ["AAPL", "NVDA", "SPY"]
    assert stage(rest, "kafka")["messages"] == sum(stage(rest, "alpaca")["bars_by_symbol"].values())


def test_recordings_from_any_folder(platform: Settings, tmp_path: Path) -> None:
    start = datetime(2025, 2, 3, tzinfo=UTC)
    lines = [
        f"{(start + timedelta(minutes=n)).isoformat()},BTC/USD,"
        f"{100 + n},{101 + n},{99 + n},{100.5 + n},{n / 8},{n},{100 + n}"
        for n in range(0, 1440, 2)
    ]
    header = "timestamp,symbol,open,high,low,close,volume,trade_count,vwap"
    (tmp_path / "my own bars 1m.csv").write_text("\n".join([header, *lines]))
    with SourceOption(recordings=tmp_path).address(platform) as addressed:
        use(addressed)
        run = materialize(MaterializationRequest("crypto", date(2025, 2, 3), date(2025, 2, 4)))
    assert run.ok, str(run.errors)
    found = rows(platform, "SELECT open, high, low, close FROM MARTS.FCT_BARS_1D WHERE bar_date = '2025-02-03'")
    assert found == [(100, 1539, 99, 1538.5)]


def test_an_unknown_symbol_fails_the_run_by_name_and_nothing_is_published(platform: Settings, tmp_path: Path) -> None:
    (tmp_path / "ETH-USD_1Min.csv").write_text(
        "timestamp,symbol,open,high,low,close,volume\n2025-02-05T00:00:00Z,ETH/USD,1,1,1,1,1\n"
    )
    with SourceOption(recordings=tmp_path).address(platform) as addressed:
        use(addressed)
        run = materialize(MaterializationRequest("crypto", date(2025, 2, 5), date(2025, 2, 6)))
    assert not run.ok
    assert "BTC/USD" in run.errors[0]
    assert [s.name for s in run.stages] == []


def test_a_load_that_lacks_published_bars_stops_before_dbt(platform: Settings) -> None:
    request = MaterializationRequest("crypto", date(2026, 3, 20), date(2026, 3, 21))
    fetched = load(request)
    assert fetched.ok, str(fetched.errors)
    with connect(platform) as connection:
        connection.cursor().execute("DELETE FROM RAW.CRYPTO_BARS WHERE bar_start = '2026-03-20 12:00:00'")
    run = materialize(request, stages=("raw",))
    assert not run.ok
    assert any("ledger_completeness: 1 bars of the lake are not in" in error for error in run.errors)
    assert "dbt" not in [s.name for s in run.stages]
    assert accept_ledger_loss(platform, "crypto", "republish").versions == 1
    mended = load(request, stages=("kafka", "raw"))
    assert mended.ok, str(mended.errors)
    assert stage(mended, "raw")["loaded"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing", date(2026, 3, 1), date(2026, 3, 2)), "there is no feed 'nothing': choose from crypto"),
        (("crypto", date(2026, 3, 2), date(2026, 3, 2)), "is empty"),
        (
            ("crypto", date(2001, 1, 1), date(2026, 3, 2)),
            "crypto, 2025-01-01: set an earlier start_date",
        ),
        (("us_equity_daily", date(1998, 1, 1), date(1998, 2, 1)), "first partition of us_equity_daily, 1998-01-02"),
        (("crypto", date(2026, 3, 1), date(2999, 1, 1)), "is too late"),
        (("crypto", date(2026, 3, 1), date(2026, 3, 2), ("DOGE/USD",)), "DOGE/USD is not among"),
    ],
)
def test_what_cannot_be_requested_is_refused_in_words(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MaterializationRequest(*arguments)


def test_one_source_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of"):
        SourceOption(simulated=True, live=True)
    with pytest.raises(ValueError, match="is not a folder"):
        SourceOption(recordings=tmp_path / "none")
    with SourceOption(live=True).address(Settings()) as live:
        assert live.alpaca_url == "https://data.alpaca.markets"
