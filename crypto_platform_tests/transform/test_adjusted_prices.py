"""Adjusted closes of a built warehouse beside those that the sandbox's own code gives."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.corporate_actions import CorporateActionsRequest, corporate_actions
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.dagster_instance.run_days import range_tags
from crypto_platform.definitions import defs
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.checks.adjusted_prices import shown
from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import use
from crypto_platform.transform import adjusted_prices
from crypto_platform.transform.adjusted_prices import Action, Comparison, compare, differences, sampled, tolerance
from crypto_platform_tests.connectors.alpaca.conftest import Server, settings_for
from crypto_platform_tests.dbt_project.warehouse import RECORDINGS, Warehouse, recording

FEED = "us_equity_daily"
OBSERVED = pd.Timestamp("2026-06-01")
SIMULATED = ("F", "KO")
BUILD = ("build", "--select", "+fct_bars_1d_adjusted", "--exclude-resource-type", "test", "unit_test")


@pytest.fixture(scope="module")
def recorded_url() -> Iterator[str]:
    with running(RECORDINGS) as url:
        yield url


@pytest.fixture(scope="module")
def simulated_url() -> Iterator[str]:
    with running(simulated=True) as url:
        yield url


def apple() -> list[dict[str, object]]:
    answer = json.loads((RECORDINGS / "AAPL_corporate-actions.json").read_text())["corporate_actions"]
    return [
        {"action_type": plural.removesuffix("s"), **found} for plural, actions in answer.items() for found in actions
    ]


@pytest.fixture(scope="module")
def warehouse(new_warehouse: Callable[[str], Warehouse], simulated_url: str) -> Warehouse:
    """AAPL's recorded days with its actions, and five years of simulated stocks with theirs."""
    warehouse = new_warehouse("ADJUSTED_PRICES")
    for name in ("AAPL_1Day_1998-2021", "AAPL_1Day"):
        warehouse.load(FEED, recording(name), OBSERVED)
    start, end = date(2019, 1, 2), date(2024, 1, 3)
    with AlpacaClient(settings_for(simulated_url)) as client:
        request = BarsRequest(FEED, "us_equity", SIMULATED, Timeframe.parse("1Day"), start, end)
        first, until = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (start, end))
        rows = [
            {"symbol": symbol, "timeframe": "1Day", "bar_start": bar["t"][:-1]}
            | {
                name: float(bar[key])
                for name, key in zip(("open", "high", "low", "close", "volume"), "ohlcv", strict=True)
            }
            for page in client.pages(request, SIMULATED, first, until, Traffic(), threading.Event())
            for symbol, bars in page.bars.items()
            for bar in bars
        ]
        asked = CorporateActionsRequest(FEED, SIMULATED, start, end + timedelta(days=60))
        actions = [found.action for found in corporate_actions(client, asked, Traffic(), threading.Event())]
    frame = pd.DataFrame(rows)
    warehouse.load(FEED, frame.assign(bar_start=pd.to_datetime(frame["bar_start"]).astype("datetime64[us]")), OBSERVED)
    warehouse.act(FEED, OBSERVED, *apple(), *actions)
    warehouse.dbt(*BUILD)
    return warehouse


def found(warehouse: Warehouse, url: str, *symbols: str) -> Comparison:
    with connect(warehouse.settings) as connection, AlpacaClient(settings_for(url)) as client:
        return compare(connection, client, FEED, feeds()[FEED], symbols)


def test_what_two_codes_make_of_the_same_actions_is_the_same(
    warehouse: Warehouse, recorded_url: str, simulated_url: str
) -> None:
    counts = warehouse.query("select symbol, count(*) as days from MARTS.FCT_BARS_1D group by 1").set_index("symbol")
    of_apple = found(warehouse, recorded_url, "AAPL")
    assert (of_apple.differences, of_apple.compared["AAPL"]) == ([], counts["days"]["AAPL"])
    simulated = found(warehouse, simulated_url, *SIMULATED)
    assert (simulated.differences, dict(simulated.compared)) == ([], {s: counts["days"][s] for s in SIMULATED})
    factors = warehouse.query("select distinct symbol, split_factor, dividend_factor from MARTS.FCT_BARS_1D_ADJUSTED")
    assert factors.groupby("symbol")["split_factor"].nunique()["AAPL"] == 5
    assert (factors.groupby("symbol")["dividend_factor"].nunique() > 5).all()
    passed = shown({FEED: of_apple}, OBSERVED.date(), "recorded")
    assert passed.passed and passed.description == f"{counts['days']['AAPL']:,} closes of 1 symbols are Alpaca's"


@pytest.mark.parametrize(
    ("change", "day", "column", "action"),
    [
        ("delete from {table} where symbol = 'AAPL' and ex_date = '2014-06-09'", date(2014, 6, 6), "close_split",
         "unknown to the marts, with its ex-date in (2014-06-06, 2014-06-09]"),
        ("update {table} set new_rate = 5 where symbol = 'AAPL' and ex_date = '2020-08-31'", date(2020, 8, 28),
         "close_split", "forward_split of 2020-08-31 (applied)"),
        ("delete from {table} where symbol = 'AAPL' and ex_date = '2019-05-10'", date(2019, 5, 9),
         "close_total_return", "unknown to the marts, with its ex-date in (2019-05-09, 2019-05-10]"),
        ("update {table} set rate = rate * 1.1 where symbol = 'AAPL' and ex_date = '2019-05-10'", date(2019, 5, 9),
         "close_total_return", "cash_dividend of 2019-05-10 (applied)"),
    ],
)  # fmt: skip
def test_an_action_that_was_lost_or_amended_is_named(
    warehouse: Warehouse, recorded_url: str, change: str, day: date, column: str, action: str
) -> None:
    table, kept = f"RAW.{FEED}_CORPORATE_ACTIONS", "RAW.ACTIONS_AS_THEY_WERE"
    warehouse.query(f"create or replace table {kept} as select * from {table}")
    try:
        warehouse.query(change.format(table=table))
        warehouse.dbt(*BUILD)
        comparison = found(warehouse, recorded_url, "AAPL")
        ours = warehouse.query(
            f"select {column} from MARTS.FCT_BARS_1D_ADJUSTED where symbol = 'AAPL' and bar_date = '{day}'"
        )[column][0]
    finally:
        warehouse.query(f"delete from {table}")
        warehouse.query(f"insert into {table} select * from {kept}")
        warehouse.dbt(*BUILD)
    (difference,) = comparison.differences
    assert (difference.symbol, difference.day, difference.column) == ("AAPL", day, column)
    assert (difference.likely_action, difference.is_known, difference.ours) == (action, False, ours)
    result = shown({FEED: comparison}, OBSERVED.date(), "recorded")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert action in str(result.description) and str(day) in str(result.description)
    assert result.metadata["remediation"].value == (
        f"crypto-platform materialize --feed {FEED} --from {day} --to {day + timedelta(days=60)} --symbols AAPL"
    )


def test_a_failure_of_the_api_is_no_verdict(
    warehouse: Warehouse, recorded_url: str, in_force: pytest.MonkeyPatch
) -> None:
    server = Server(recorded_url)
    server.arm("server_error", times=100)
    chosen = settings_for(recorded_url, alpaca_max_attempts=2)
    keep = {name: getattr(chosen, name) for name in chosen.model_fields_set}
    use(warehouse.settings.model_copy(update=keep))
    job = defs().resolve_job_def("adjusted_prices")
    with dg.DagsterInstance.ephemeral() as instance:
        try:
            failed = job.execute_in_process(instance=instance, raise_on_error=False)
        finally:
            server.clear()
        assert not failed.success and failed.get_asset_check_evaluations() == []
        (event,) = [e for e in failed.all_events if e.is_step_failure]
        assert "nothing was compared: Alpaca gave no good page" in str(event.step_failure_data.error)
        # With Alpaca back, and AAPL alone among the recordings: the simulated stocks have no day to compare.
        (passed,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
        # A run over days asks Alpaca nothing.
        server.arm("server_error", times=100)
        try:
            over_days = job.execute_in_process(instance=instance, tags=range_tags((date(2026, 3, 2), date(2026, 3, 3))))
            assert over_days.success and over_days.get_asset_check_evaluations() == []
            assert server.fired() == 0
        finally:
            server.clear()
    assert passed.passed, passed.description
    assert str(passed.description).endswith("of us_equity_daily F, us_equity_daily KO there is no day to compare")


def test_where_nothing_could_be_compared_the_check_says_so(new_warehouse: Callable[[str], Warehouse]) -> None:
    with connect(new_warehouse("NOTHING_BUILT").settings) as connection:
        assert sampled(connection, FEED, date(2026, 3, 2)) == []
    nothing = shown({}, date(2026, 3, 2), "recorded")
    assert (nothing.passed, nothing.description) == (True, "no feed has raw daily bars to compare")
    unknown = shown({FEED: Comparison({"GONE": 0}, [], 3)}, date(2026, 3, 2), "recorded")
    assert not unknown.passed and "of us_equity_daily GONE there is no day to compare" in str(unknown.description)


def test_the_sample_has_the_newest_actions_and_goes_round_the_others(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(warehouse.settings) as connection:
        newest_first = sampled(connection, FEED, date(2026, 3, 2))
        assert sorted(newest_first) == ["AAPL", *SIMULATED] and newest_first[-1] == "AAPL"
        monkeypatch.setattr(adjusted_prices, "NEWEST", 1)
        monkeypatch.setattr(adjusted_prices, "ROTATING", 1)
        days = [sampled(connection, FEED, date(2026, 3, 2) + timedelta(days=n)) for n in range(4)]
    assert {symbols[0] for symbols in days} == {newest_first[0]}
    assert [symbols[1] for symbols in days[:2]] == [symbols[1] for symbols in days[2:]]
    assert {symbols[1] for symbols in days} == set(newest_first[1:])


DAYS = [date(2026, 3, 2) + timedelta(days=n) for n in range(8)]


def closes(*prices: float) -> dict[date, float]:
    return dict(zip(DAYS, prices, strict=False))


@given(
    st.lists(st.floats(1, 5000).map(lambda price: round(price, 2)), min_size=2, max_size=8),
    st.floats(0.001, 1),
    st.integers(2, 6),
)
def test_rounding_is_no_difference(raw: list[float], factor: float, decimals: int) -> None:
    """Also where Alpaca adjusts for an action after the newest day that the marts have."""
    ours = closes(*raw)
    theirs = {day: round(close * factor, decimals) for day, close in ours.items() if round(close * factor, decimals)}
    both = {"close": (ours, ours), "close_split": (ours, theirs), "close_total_return": (ours, theirs)}
    assert differences(FEED, "AAPL", both, []) == []


def test_a_corrected_bar_is_told_as_one() -> None:
    ours, theirs = closes(10, 11, 12, 13), closes(10, 11.5, 12, 13)
    both = dict.fromkeys(adjusted_prices.ADJUSTMENTS, (ours, theirs))
    (difference,) = differences(FEED, "AAPL", both, [])
    assert (difference.day, difference.column, difference.ours, difference.theirs) == (DAYS[1], "close", 11, 11.5)


def test_a_spin_off_is_a_difference_of_method() -> None:
    """Alpaca's `all` takes its worth out of the prices before it; nobody tells the marts what it is."""
    raw, total = closes(10, 10, 8, 8), closes(8, 8, 8, 8)
    both = {"close": (raw, raw), "close_split": (raw, raw), "close_total_return": (raw, total)}
    spin_off = Action("spin_off", DAYS[2], "no_factor")
    (difference,) = differences(FEED, "GE", both, [spin_off])
    assert (difference.day, difference.is_known) == (DAYS[1], True)
    assert shown({FEED: Comparison({"GE": 4}, [difference], 3)}, DAYS[3], "alpaca").passed
    (difference,) = differences(FEED, "GE", both, [spin_off, replace(spin_off, type="cash_dividend")])
    assert not difference.is_known


def test_the_tolerance_is_that_of_the_decimals() -> None:
    assert tolerance([124.8, 20.0, 31.0]) == 0.005
    assert tolerance([124.8075, 20.0]) == 0.00005
