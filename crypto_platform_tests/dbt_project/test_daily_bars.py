"""A feed of daily bars in dbt, over a change of New York's clocks: what it is in, what it lacks, what leaves it out."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from crypto_platform.connectors.snowflake import connection
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh, days
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

FEED = "us_equity_daily"
OBSERVED = pd.Timestamp("2026-06-01")
# The clocks went back on Sunday, 2014-11-02.
FIRST, END = "2014-10-27", "2014-11-08"
NEVER_REQUESTED, NO_TRADE, NOT_INGESTED = date(2014, 10, 29), date(2014, 11, 4), date(2014, 11, 5)


def of_days(*chosen: date) -> pd.DataFrame:
    bars = days(recording("AAPL_1Day_1998-2021"), FIRST, END)
    return bars[bars["bar_start"].dt.date.isin(chosen)] if chosen else bars


@pytest.fixture(scope="module")
def daily(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Two weeks of AAPL without three sessions, and two days of SPY's quarters of an hour in another feed."""
    warehouse = new_warehouse("DAILY")
    bars = of_days()
    missing = of_days(NEVER_REQUESTED, NO_TRADE, NOT_INGESTED)
    warehouse.load(FEED, bars.drop(missing.index), OBSERVED)
    warehouse.load("us_equity", days(recording("SPY_15Min"), "2025-11-25", "2025-11-27"), OBSERVED)
    with connection.connect(warehouse.settings) as session:
        asked = [
            RequestedPartition("AAPL", NO_TRADE, datetime(2014, 11, 5, 5, tzinfo=UTC), 0),
            # A second before its day was over in New York.
            RequestedPartition("AAPL", NOT_INGESTED, datetime(2014, 11, 6, 4, 59, 59, tzinfo=UTC), 0),
        ]
        record(session, FEED, "1Day", asked, "run")
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    return warehouse


def test_a_days_bar_is_the_day_as_it_is(daily: Warehouse) -> None:
    found = daily.query(f"select * from MARTS.FCT_BARS_1D where feed = '{FEED}' order by bar_date")
    bars = of_days().set_index(of_days()["bar_start"].dt.date).drop([NEVER_REQUESTED, NO_TRADE, NOT_INGESTED])
    assert found["bar_date"].tolist() == list(bars.index)
    for column in ("open", "high", "low", "close", "volume"):
        assert found[column].tolist() == bars[column].tolist(), column
    assert set(zip(found["base_timeframe"], found["expected_bars"], found["actual_bars"], strict=True)) == {
        ("1Day", 1, 1)
    }
    assert found["is_complete"].all()
    parts = ["pre_market_volume", "regular_volume", "after_hours_volume"]
    assert found[parts].isna().all(axis=None)
    facts = daily.query(f"select distinct session_phase, timeframe_seconds from MARTS.FCT_BARS where feed = '{FEED}'")
    assert facts.to_numpy().tolist() == [["regular", 86400]]


def test_a_missing_session_is_one_missing_bar_from_midnight_to_midnight(daily: Warehouse) -> None:
    gaps = daily.query(f"select * from MARTS.FCT_GAPS where feed = '{FEED}' order by gap_start")
    found = list(zip(*(gaps[c] for c in ("gap_start", "gap_end", "missing_bars", "gap_class")), strict=True))
    at = pd.Timestamp
    assert found == [
        (at("2014-10-29 04:00"), at("2014-10-30 04:00"), 1, "never_requested"),
        # A weekend of 49 hours.
        (at("2014-11-01 04:00"), at("2014-11-03 05:00"), 2, "market_closed"),
        (at("2014-11-04 05:00"), at("2014-11-05 05:00"), 1, "no_trade"),
        (at("2014-11-05 05:00"), at("2014-11-06 05:00"), 1, "not_ingested"),
    ]


def test_completeness_is_by_sessions(daily: Warehouse) -> None:
    found = daily.query(f"select * from MARTS.FCT_COMPLETENESS where feed = '{FEED}' order by bar_date")
    assert found["bar_date"].tolist() == of_days()["bar_start"].dt.date.tolist()
    missing = {NEVER_REQUESTED, NO_TRADE, NOT_INGESTED}
    assert found["expected_bars"].eq(1).all()
    assert set(found["bar_date"][found["missing_bars"] == 1]) == missing
    assert found["percent_complete"].tolist() == [0.0 if day in missing else 100.0 for day in found["bar_date"]]
    assert found["bar_date"][~found["is_requested"]].tolist() == [NEVER_REQUESTED]


def test_intraday_models_leave_days_out(daily: Warehouse) -> None:
    tables = (
        "FCT_BARS_5M",
        "FCT_BARS_15M",
        "FCT_BARS_1H",
        "FCT_INDICATORS_1H",
        "FCT_INTRADAY_PROFILE",
        "BAR_ANOMALIES",
    )
    for table in tables:
        assert daily.query(f"select 1 from MARTS.{table} where feed = '{FEED}'").empty, table
    assert not daily.query("select 1 from MARTS.FCT_BARS_1H where feed = 'us_equity'").empty


def test_overview_freshness_and_prices_have_the_newest_day(daily: Warehouse) -> None:
    closes = of_days().set_index("bar_start")["close"]
    (overview,) = daily.query(f"select * from MARTS.MARKET_OVERVIEW where feed = '{FEED}'").to_dict("records")
    assert overview["last_price"] == closes.iloc[-1]
    assert overview["last_price_at"] == pd.Timestamp("2014-11-08 05:00")
    assert overview["change_24h"] == pytest.approx(closes.iloc[-1] / closes.iloc[-2] - 1, rel=1e-12)
    assert overview["high_24h"] == of_days()["high"].iloc[-1]
    assert overview["volume_24h"] == of_days()["volume"].iloc[-1]
    (fresh,) = daily.query(f"select * from MARTS.DATA_FRESHNESS where feed = '{FEED}'").to_dict("records")
    assert fresh["timeframe"] == "1Day"
    assert (fresh["origin"], fresh["measured_at"].date()) == ("market", datetime.now(UTC).date())
    assert fresh["sessions_behind"] > 2000
    (price,) = daily.query(f"select * from MARTS.LIVE_PRICES where feed = '{FEED}'").to_dict("records")
    assert (price["last_price"], price["bar_date"]) == (closes.iloc[-1], date(2014, 11, 7))
    assert price["change_today"] == pytest.approx(closes.iloc[-1] / closes.iloc[-2] - 1, rel=1e-12)


@pytest.mark.parametrize("origin", ["recorded", "simulated", None])
def test_recorded_bars_are_as_fresh_as_their_recordings(daily: Warehouse, origin: str | None) -> None:
    """What the feed's newest load with messages brought counts, of this feed alone."""
    load = (
        "insert into RAW.LOADS select 'load', '{}', 'topic', 'id', 'run', '', '', {}, 0, 0, 0, 0, null, {}, sysdate(), "
        "dateadd('hour', {}, sysdate())"
    )
    said = f"'{origin}'" if origin else "null"
    for feed, messages, text, hour in ((FEED, 1, "'simulated'", 0), (FEED, 1, said, 1), (FEED, 0, "'simulated'", 2)):
        daily.query(load.format(feed, messages, text, hour))
    try:
        fresh = daily.table("MARTS.DATA_FRESHNESS").set_index("feed")
        prices = daily.table("MARTS.LIVE_PRICES").set_index("feed")["origin"]
        overview = daily.table("MARTS.MARKET_OVERVIEW").set_index("feed")["origin"]
    finally:
        daily.query("delete from RAW.LOADS")
    assert fresh["origin"][FEED] == prices[FEED] == overview[FEED] == (origin or "market")
    assert fresh["origin"]["us_equity"] == prices["us_equity"] == "market"
    if origin == "recorded":
        assert fresh["measured_at"][FEED] == fresh["last_bar_end"][FEED]
        assert (fresh["age_seconds"][FEED], fresh["sessions_behind"][FEED]) == (0, 0)
    else:
        assert fresh["sessions_behind"][FEED] > 2000
    assert fresh["sessions_behind"]["us_equity"] > 200


@pytest.mark.last
def test_a_day_that_comes_later_closes_its_gap_and_equals_a_full_refresh(daily: Warehouse) -> None:
    daily.load(FEED, of_days(NOT_INGESTED), OBSERVED + pd.Timedelta(hours=1))
    daily.dbt("run")
    left = daily.query(f"select gap_class from MARTS.FCT_GAPS where feed = '{FEED}' and gap_class != 'market_closed'")
    assert sorted(left["gap_class"]) == ["never_requested", "no_trade"]
    assert_equals_full_refresh(daily)


@pytest.mark.last
def test_of_a_symbol_of_two_feeds_the_newest_price_is_shown(daily: Warehouse) -> None:
    daily.load("us_equity", days(recording("AAPL_15Min"), "2025-11-25", "2025-11-27"), OBSERVED)
    daily.build("market_overview", "live_prices")
    for table in ("MARKET_OVERVIEW", "LIVE_PRICES"):
        assert daily.query(f"select feed from MARTS.{table} where symbol = 'AAPL'")["feed"].tolist() == ["us_equity"]
