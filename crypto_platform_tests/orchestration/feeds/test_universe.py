"""A feed with a universe through every stage: members by day, bad lines told, and days that stay as they were."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from crypto_platform.cli.runs import MaterializationRequest, materialize
from crypto_platform.cli.source_option import SourceOption
from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.defs.dbt import models
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings, use
from crypto_platform_tests.orchestration.feed_definitions import definitions

FEED = "us_equity_daily"
MONDAY = date(2019, 3, 4)
WEDNESDAY, FRIDAY = MONDAY + timedelta(days=2), MONDAY + timedelta(days=4)


def daily(file: Path) -> FeedSpec:
    return FeedSpec(
        asset_class="us_equity", universe={"file": file}, timeframe="1Day", start_date="1998-01-02", adjustment="raw"
    )


@pytest.fixture
def simulated(platform: Settings) -> Iterator[Settings]:
    with SourceOption(simulated=True).address(platform) as addressed:
        use(addressed)
        yield addressed


def rows(settings: Settings, statement: str) -> list[tuple]:
    with connect(settings) as connection:
        return connection.cursor().execute(statement).fetchall()


def members_of(settings: Settings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    query = f"SELECT day, symbol FROM RAW.UNIVERSE_MEMBERS WHERE feed = '{FEED}' ORDER BY day, symbol"
    for day, symbol in rows(settings, query):
        found.setdefault(str(day), []).append(symbol)
    return found


def test_members_by_day_from_the_file_to_the_marts(simulated: Settings, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text(f"symbol,from,to\nQQA,,\nQQB,,{WEDNESDAY}\nQQC,{WEDNESDAY},\nnot a symbol,,\n")
    week = MaterializationRequest(FEED, MONDAY, FRIDAY)
    first = materialize(week, definitions=definitions(FEED, daily(file), models))
    assert first.ok, str(first.errors)
    held = f"FROM RAW.US_EQUITY_DAILY_BARS WHERE bar_start >= '{MONDAY}' AND bar_start < '{FRIDAY}'"
    by_symbol = dict(rows(simulated, f"SELECT symbol, count(*) {held} GROUP BY 1"))
    assert by_symbol == {"QQA": 4, "QQB": 2, "QQC": 2}
    expected = {str(MONDAY + timedelta(days=n)): ["QQA", "QQB"] if n < 2 else ["QQA", "QQC"] for n in range(4)}
    assert members_of(simulated) == expected
    with dg.DagsterInstance.get() as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["alpaca", f"{FEED}_alpaca_bars"]), "universe_members")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event
    evaluation = record.event.asset_check_evaluation
    assert evaluation
    assert not evaluation.passed
    assert "1 lines are left out: line 5: 'not a symbol'" in (evaluation.description or "")
    ranges = (
        "SELECT symbol, valid_from::varchar, valid_to::varchar, is_current FROM MARTS.DIM_UNIVERSE_MEMBERS "
        f"WHERE feed = '{FEED}' ORDER BY 1"
    )
    assert rows(simulated, ranges) == [
        ("QQA", str(MONDAY), str(FRIDAY), True),
        ("QQB", str(MONDAY), str(WEDNESDAY), False),
        ("QQC", str(WEDNESDAY), str(FRIDAY), True),
    ]

    # The list of another day: the week keeps its own.
    file.write_text("QQA\nQQD\n")
    again = materialize(week, definitions=definitions(FEED, daily(file)))
    assert again.ok, str(again.errors)
    assert dict(rows(simulated, f"SELECT symbol, count(*) {held} GROUP BY 1")) == by_symbol
    assert members_of(simulated) == expected

    # A file that cannot be used stops the run before anything is asked for.
    file.write_text("")
    saturday = FRIDAY + timedelta(days=1)
    refused = materialize(MaterializationRequest(FEED, FRIDAY, saturday), definitions=definitions(FEED, daily(file)))
    assert not refused.ok
    assert "members.csv names no symbol (it is empty)" in refused.errors[0]
    assert FRIDAY not in Lake(simulated.lake).days(FEED, "1Day")
    assert members_of(simulated) == expected


def test_a_query_is_asked_by_the_run_and_its_answer_recorded(simulated: Settings) -> None:
    day = date(2025, 1, 20)
    spec = FeedSpec(asset_class="crypto", universe={"exchange": ["CRYPTO"]}, timeframe="1Hour", start_date="2025-01-01")
    order = MaterializationRequest("crypto", day, day + timedelta(days=1))
    run = materialize(order, stages=("alpaca",), definitions=definitions("crypto", spec))
    assert run.ok, str(run.errors)
    recorded = Lake(simulated.lake).universe_day("crypto", day)
    assert recorded.symbols == ("BTC/USD", "ETH/USD")
    assert recorded.source == "Alpaca's active and inactive assets: CRYPTO"
    assert Lake(simulated.lake).counts("crypto", "1Hour", day) == {"BTC/USD": 24, "ETH/USD": 24}
