"""Days of one feed beside what the 15 minutes of another add up to: both recordings are of IEX."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest

from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

OBSERVED = pd.Timestamp("2026-06-01")
SYMBOLS = ("SPY", "AAPL", "NVDA")
TEST = ("test", "--select", "fct_daily_bar_reconciliation_matches_intraday")
PRICES = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def warehouse(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    warehouse = new_warehouse("DAILY_BARS")
    for symbol in SYMBOLS:
        warehouse.load("us_equity", recording(f"{symbol}_15Min"), OBSERVED)
        warehouse.load("us_equity_daily", recording(f"{symbol}_1Day"), OBSERVED)
    warehouse.build("fct_daily_bar_reconciliation")
    return warehouse


def expected(symbol: str) -> pd.DataFrame:
    """Days and the sums of their quarter hours, by pandas, of days with all 26 (14 on an early close)."""
    minutes, days = recording(f"{symbol}_15Min"), recording(f"{symbol}_1Day")
    local = minutes["bar_start"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    volume = minutes.groupby(local.dt.date)["volume"].sum()
    half_days = {date(2025, 7, 3), date(2025, 11, 28), date(2025, 12, 24)}
    ends = [13 if day in half_days else 16 for day in local.dt.date]
    regular = minutes[(local.dt.hour * 60 + local.dt.minute >= 570) & (local.dt.hour < ends)]
    found = regular.groupby(local[regular.index].dt.date).agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"), n=("open", "size")
    )
    room = pd.Series([14 if day in half_days else 26 for day in found.index], found.index)
    found = found[found.pop("n") == room].assign(volume=volume)
    days.index = days["bar_start"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.date
    return days[[*PRICES, "volume"]].join(found.add_prefix("intraday_"), how="inner")


def test_the_recordings_agree(warehouse: Warehouse) -> None:
    facts = warehouse.query("select * from MARTS.FCT_DAILY_BAR_RECONCILIATION order by bar_date")
    assert set(zip(facts["feed"], facts["intraday_feed"], strict=True)) == {("us_equity_daily", "us_equity")}
    for symbol in SYMBOLS:
        found, beside = facts[facts["symbol"] == symbol].set_index("bar_date"), expected(symbol)
        assert found.index.tolist() == beside.index.tolist()
        assert len(found) > 200
        for column in beside:
            np.testing.assert_allclose(found[column].astype(float), beside[column], rtol=1e-12, err_msg=column)
        for column in PRICES:
            deviation = beside[f"intraday_{column}"] / beside[column] - 1
            np.testing.assert_allclose(found[f"{column}_deviation"], deviation, atol=1e-12)
    assert facts["deviating_column"].isna().all()
    (result,) = warehouse.dbt(*TEST)
    assert result.status == "pass"


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("close = close / 4, open = open / 4, high = high / 4, low = low / 4", "open"),
        ("close = close * 0.98, low = least(low, close * 0.98)", "close"),
        ("high = high * 1.02", "high"),
        ("volume = volume * 0.9", "volume"),
    ],
)
def test_a_day_that_is_not_its_minutes_warns(warehouse: Warehouse, change: str, column: str) -> None:
    chosen = "feed = 'us_equity_daily' and symbol = 'SPY' and bar_date = '2026-03-02'"
    warehouse.query(f"create or replace table RAW.DAY as select * from MARTS.FCT_BARS_1D where {chosen}")
    try:
        warehouse.query(f"update MARTS.FCT_BARS_1D set {change} where {chosen}")
        (result,) = warehouse.dbt(*TEST)
        found = warehouse.query(
            "select symbol, bar_date, deviating_column from MARTS.FCT_DAILY_BAR_RECONCILIATION "
            "where deviating_column is not null"
        )
    finally:
        warehouse.query(f"delete from MARTS.FCT_BARS_1D where {chosen}")
        warehouse.query("insert into MARTS.FCT_BARS_1D select * from RAW.DAY")
    assert (result.status, result.failures) == ("warn", 1)
    assert found.values.tolist() == [["SPY", date(2026, 3, 2), column]]


def test_a_day_that_lacks_minutes_is_not_compared(warehouse: Warehouse) -> None:
    chosen = "feed = 'us_equity' and symbol = 'SPY' and bar_date = '2026-03-02'"
    warehouse.query(f"update MARTS.FCT_BARS_1D set is_complete = false where {chosen}")
    found = warehouse.query("select symbol from MARTS.FCT_DAILY_BAR_RECONCILIATION where bar_date = '2026-03-02'")
    warehouse.query(f"update MARTS.FCT_BARS_1D set is_complete = true where {chosen}")
    assert sorted(found["symbol"]) == ["AAPL", "NVDA"]
