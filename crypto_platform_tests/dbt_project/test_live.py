"""The live views: what was loaded a moment ago is in them, and at the day's end they are the facts."""

from collections.abc import Callable

import pandas as pd
import pytest

from crypto_platform.connectors.snowflake import connection
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

PAIRS = {
    "LIVE_BARS": "FCT_BARS",
    "LIVE_BARS_1H": "FCT_BARS_1H",
    "LIVE_BARS_1D": "FCT_BARS_1D",
    "LIVE_INDICATORS_1H": "FCT_INDICATORS_1H",
}
MODELS = ("+live_prices", "+live_indicators_1h", "fct_indicators_1h")
DAY, NOON = pd.Timestamp("2026-04-20"), pd.Timestamp("2026-04-20 12:00")


def of_day(warehouse: Warehouse, table: str) -> pd.DataFrame:
    found = warehouse.query(f"select * from MARTS.{table} where bar_date = '{DAY.date()}'")
    return found.sort_values(list(found), ignore_index=True)


@pytest.fixture(scope="module")
def live(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Two months of bars to noon of a Monday, built; then the rest of the day by stream, not built."""
    warehouse = new_warehouse("LIVE")
    bitcoin = recording("BTC-USD_1Min").query("bar_start < '2026-04-21'")
    spy = recording("SPY_15Min").query("'2026-03-01' <= bar_start < '2026-04-21'")
    for feed, bars, until in (("crypto", bitcoin, NOON), ("us_equity", spy, DAY)):
        warehouse.load(feed, bars[bars["bar_start"] < until], until)
    warehouse.dbt("build", "--select", *MODELS, "--exclude-resource-type", "test", "unit_test")
    for feed, bars, since in (("crypto", bitcoin, NOON), ("us_equity", spy, DAY)):
        evening = bars[bars["bar_start"] >= since]
        warehouse.load(feed, evening, DAY + pd.Timedelta(hours=23), source="stream")
        late = evening.iloc[-20:-10].assign(volume=evening["volume"].iloc[-20:-10] + 1)
        warehouse.load(feed, late, DAY + pd.Timedelta(hours=24), source="stream_update")
    return warehouse


def test_what_is_not_built_yet_is_in_the_views(live: Warehouse) -> None:
    assert of_day(live, "FCT_BARS")["bar_start"].max() < NOON
    found = of_day(live, "LIVE_BARS").groupby("symbol")["bar_start"].agg(["count", "max"])
    assert found.loc["BTC/USD"].tolist() == [1440, DAY + pd.Timedelta(hours=23, minutes=59)]
    assert found.loc["SPY", "count"] >= 26
    prices = live.table("MARTS.LIVE_PRICES").set_index("symbol")
    bitcoin = recording("BTC-USD_1Min").set_index("bar_start")
    assert prices.loc["BTC/USD", "last_price"] == bitcoin["close"][DAY + pd.Timedelta(hours=23, minutes=59)]
    assert prices.loc["BTC/USD", "last_price_at"] == DAY + pd.Timedelta(days=1)
    assert prices.loc["BTC/USD", "bars_today"] == 1440
    yesterday = bitcoin["close"][DAY - pd.Timedelta(minutes=1)]
    assert prices.loc["BTC/USD", "change_today"] == pytest.approx(
        prices.loc["BTC/USD", "last_price"] / yesterday - 1, rel=1e-12
    )
    age = pd.Timestamp.now("UTC").tz_localize(None) - prices.loc["BTC/USD", "last_price_at"]
    assert prices.loc["BTC/USD", "price_age_seconds"] == pytest.approx(age.total_seconds(), abs=60)


def test_a_view_names_the_day_that_it_reads_the_ledger_from(live: Warehouse) -> None:
    made = (live.scratch / "target/run/crypto_platform/models/marts/live/live_bars.sql").read_text()
    assert f"bar_date >= cast('{DAY.date()}' as date)" in made
    assert "max(bar_date)" not in made


@pytest.mark.last
def test_at_the_days_end_the_views_are_the_facts(live: Warehouse) -> None:
    before = {view: of_day(live, view) for view in PAIRS}
    live.dbt("run", "--select", *MODELS)
    for view, fact in PAIRS.items():
        assert len(before[view]) > 0
        pd.testing.assert_frame_equal(before[view], of_day(live, fact), check_exact=True, obj=view)
        # Settled, they still are.
        pd.testing.assert_frame_equal(of_day(live, view), of_day(live, fact), check_exact=True, obj=view)


@pytest.fixture(scope="module")
def next_day(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Bitcoin built to the noon of a day, then streamed into the day after it; ether's last day was the one before."""
    warehouse = new_warehouse("NEXT_DAY")
    bitcoin = recording("BTC-USD_1Min").query("'2026-04-18' <= bar_start < '2026-04-21 00:10'")
    ether = bitcoin[bitcoin["bar_start"] < DAY].assign(symbol="ETH/USD")
    warehouse.load("crypto", pd.concat([bitcoin[bitcoin["bar_start"] < NOON], ether]), NOON)
    warehouse.build("live_prices")
    warehouse.load("crypto", bitcoin[bitcoin["bar_start"] >= NOON], DAY + pd.Timedelta(hours=24.2), source="stream")
    return warehouse


def test_after_midnight_the_day_before_is_the_whole_one(next_day: Warehouse) -> None:
    """The facts still have the day as it was at noon."""
    price = next_day.table("MARTS.LIVE_PRICES").set_index("symbol").loc["BTC/USD"]
    close = recording("BTC-USD_1Min").set_index("bar_start")["close"]
    midnight = DAY + pd.Timedelta(days=1)
    assert price["bar_date"] == midnight.date()
    assert price["last_price"] == close[midnight + pd.Timedelta(minutes=9)]
    assert close[midnight - pd.Timedelta(minutes=1)] != close[NOON - pd.Timedelta(minutes=1)]
    expected = price["last_price"] / close[midnight - pd.Timedelta(minutes=1)] - 1
    assert price["change_today"] == pytest.approx(expected, rel=1e-12)


def test_a_symbol_that_trades_no_more_keeps_its_last_price(next_day: Warehouse) -> None:
    prices = next_day.table("MARTS.LIVE_PRICES").set_index("symbol")
    assert sorted(prices.index) == ["BTC/USD", "ETH/USD"]
    ether, bars = prices.loc["ETH/USD"], recording("BTC-USD_1Min").set_index("bar_start")
    day, before = bars[DAY - pd.Timedelta(days=1) : DAY - pd.Timedelta(minutes=1)], bars[: DAY - pd.Timedelta(days=1)]
    assert (ether["last_price"], ether["last_price_at"]) == (day["close"].iloc[-1], DAY)
    assert (ether["source"], ether["observed_at"]) == ("rest", NOON)
    assert (ether["open_today"], ether["bars_today"]) == (day["open"].iloc[0], 1440)
    assert ether["change_today"] == pytest.approx(ether["last_price"] / before["close"].iloc[-2] - 1, rel=1e-12)


@pytest.mark.last
def test_what_came_by_stream_is_compared_with_rest(live: Warehouse) -> None:
    """The evening by stream, ten bars updated, one dropped; then REST's day, in which one bar is another."""
    bitcoin = recording("BTC-USD_1Min").query("'2026-04-20' <= bar_start < '2026-04-21'")
    other = bitcoin["bar_start"] == pd.Timestamp("2026-04-20 18:00")
    settled = bitcoin.assign(high=bitcoin["high"].where(~other, bitcoin["high"] * 2))
    settled = settled[settled["bar_start"] < DAY + pd.Timedelta(hours=23, minutes=50)]
    live.load("crypto", settled, DAY + pd.Timedelta(hours=30))
    build = ("build", "--select", "+fct_stream_reconciliation", "--exclude-resource-type", "unit_test")
    live.dbt(*build)
    (row,) = live.query("select * from MARTS.FCT_STREAM_RECONCILIATION where symbol = 'BTC/USD'").to_dict("records")
    row.pop("loaded_at")
    assert row == {
        "feed": "crypto",
        "asset_class": "crypto",
        "symbol": "BTC/USD",
        "timeframe": "1Min",
        "bar_date": DAY.date(),
        "is_final": False,
        "bars": 1440,
        "stream_bars": 720,
        "rest_bars": 1430,
        "only_stream_bars": 10,
        "only_rest_bars": 720,
        "differing_bars": 11,
        "largest_difference": 0.5,
        "updated_bars": 10,
        # Simulated as one observation at 23:00: the bars after it were told before they were over.
        "median_lateness_seconds": 5 * 3600 - 30,
        "p99_lateness_seconds": pytest.approx(11 * 3600 - 60 * 8.19),
        "reconciled_bars": 1430,
        "percent_reconciled": pytest.approx(100 * 1430 / 1440),
    }

    # What REST was asked for tells when the ten bars that it lacks are a warning.
    for hour, settles in ((23, False), (25, True)):
        with connection.connect(live.settings) as session:
            until = (DAY + pd.Timedelta(hours=hour)).tz_localize("UTC").to_pydatetime()
            record(session, "crypto", "1Min", [RequestedPartition("BTC/USD", DAY.date(), until, 1430)], "run")
        warned = [r.node.name for r in live.dbt(*build) if r.status == "warn"]
        assert warned == (["final_days_agree_with_rest"] if settles else [])
        found = live.query("select symbol, is_final from MARTS.FCT_STREAM_RECONCILIATION order by symbol")
        assert found.to_numpy().tolist() == [["BTC/USD", settles], ["SPY", False]]


def test_a_streamed_day_is_compared_when_something_of_it_came(new_warehouse: Callable[[str], Warehouse]) -> None:
    """A New York day of two UTC days by stream, then by REST, then asked for day by day without a new bar."""
    warehouse = new_warehouse("STREAM_DAYS")
    bars = recording("SPY_15Min").query("'2025-12-01' <= bar_start < '2025-12-02'")
    evening = bars.iloc[-1:].assign(bar_start=pd.Timestamp("2025-12-02 00:30"))
    before = recording("SPY_15Min").query("'2025-11-28' <= bar_start < '2025-11-29'")
    warehouse.load("us_equity", pd.concat([bars, evening]), pd.Timestamp("2025-12-02 01:00"), source="stream")

    def reconciled() -> list[object]:
        results = warehouse.dbt(
            "build", "--select", "+fct_stream_reconciliation", "--exclude-resource-type", "test", "unit_test"
        )
        days = next(result for result in results if result.node.name == "int_stream_days")
        (row,) = warehouse.table("MARTS.FCT_STREAM_RECONCILIATION").to_dict("records")
        assert row["bar_date"] == pd.Timestamp("2025-12-01").date()
        return [str(days.message), row["rest_bars"], row["differing_bars"], row["is_final"]]

    assert reconciled()[1:] == [0, 0, False]
    rest = pd.concat([before, bars.assign(volume=bars["volume"] + 1), evening])
    warehouse.load("us_equity", rest, pd.Timestamp("2025-12-03"))
    assert reconciled()[1:] == [len(bars) + 1, len(bars), False]
    for day, settles in ((1, False), (2, True)):
        with connection.connect(warehouse.settings) as session:
            until = pd.Timestamp("2025-12-03", tz="UTC").to_pydatetime()
            asked = RequestedPartition("SPY", pd.Timestamp(f"2025-12-0{day}").date(), until, 1)
            record(session, "us_equity", "15Min", [asked], "run")
        assert reconciled() == ["NO NEW DAYS", len(bars) + 1, len(bars), settles]
    built = warehouse.table("INTERMEDIATE.INT_STREAM_DAYS")
    assert len(built) == 2
    warehouse.dbt("run", "--full-refresh", "--select", "int_stream_days")
    pd.testing.assert_frame_equal(built, warehouse.table("INTERMEDIATE.INT_STREAM_DAYS"), check_exact=True)


def test_a_splits_morning_is_no_fall(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("SPLIT_MORNING")
    closes = pd.Series(100.0, pd.bdate_range("2026-04-13", "2026-04-17"))
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes)).assign(
        symbol="SPY", timeframe="15Min", bar_start=(closes.index + pd.Timedelta(hours=19)).as_unit("us"), volume=8.0
    )
    warehouse.load("us_equity", bars, DAY)
    split = {"action_type": "forward_split", "symbol": "SPY", "ex_date": str(DAY.date()), "old_rate": 1, "new_rate": 4}
    warehouse.act("us_equity", DAY, split)
    warehouse.dbt("build", "--select", *MODELS, "--exclude-resource-type", "test", "unit_test")
    assert warehouse.table("MARTS.FCT_CORPORATE_ACTIONS")["status"].tolist() == ["pending"]
    morning = bars.tail(1).assign(open=26.0, high=26.0, low=26.0, close=26.0, bar_start=NOON + pd.Timedelta(hours=2))
    warehouse.load("us_equity", morning.astype({"bar_start": "datetime64[us]"}), NOON, source="stream")
    (price,) = warehouse.table("MARTS.LIVE_PRICES").to_dict("records")
    assert (price["last_price"], price["change_today"]) == (26, pytest.approx(26 / 25 - 1))
    before = of_day(warehouse, "LIVE_INDICATORS_1H").drop(columns="factors_version")
    # The days before trade four times as many shares, at a quarter of the price.
    assert before["obv"].astype(float).tolist() == [4 * 8 + 8]
    warehouse.dbt("run", "--select", *MODELS)
    assert warehouse.table("MARTS.FCT_CORPORATE_ACTIONS")["status"].tolist() == ["applied"]
    (price,) = warehouse.table("MARTS.LIVE_PRICES").to_dict("records")
    assert price["change_today"] == pytest.approx(26 / 25 - 1)
    facts = of_day(warehouse, "FCT_INDICATORS_1H").drop(columns="factors_version")
    pd.testing.assert_frame_equal(before, facts)
