"""The facts on the recordings, beside pandas and beside Alpaca's own daily bars."""

from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

# Alpaca's daily close is the closing auction's print, which no 15-minute bar of the IEX feed holds on these days.
CLOSING_AUCTION_DAYS: dict[str, set[date]] = {
    "SPY": {date(2025, 8, 29), date(2025, 9, 22)},
    "AAPL": set(),
    "NVDA": set(),
}


def exact_sum(volumes: pd.Series) -> float:
    return float(sum((Decimal(repr(v)) for v in volumes.tolist()), Decimal(0)))


def test_every_bar_is_a_fact(recorded: Warehouse) -> None:
    facts = recorded.query("select * from MARTS.FCT_BARS where asset_class = 'crypto' order by bar_start")
    bars = recording("BTC-USD_1Min")
    columns = ["symbol", "timeframe", "bar_start", "open", "high", "low", "close", "volume", "trade_count", "vwap"]
    pd.testing.assert_frame_equal(facts[columns], bars[columns], check_dtype=False, check_exact=True)
    assert set(facts["session_phase"]) == {"regular"}


def test_daily_btc_equals_pandas_to_the_last_digit(recorded: Warehouse) -> None:
    facts = recorded.query("select * from MARTS.FCT_BARS_1D where symbol = 'BTC/USD' order by bar_date")
    bars = recording("BTC-USD_1Min")
    days = bars.groupby(bars["bar_start"].dt.date)
    expected = days.agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", exact_sum), trade_count=("trade_count", "sum"),
    ).reset_index(names="bar_date")  # fmt: skip
    assert len(facts) == 92
    pd.testing.assert_frame_equal(facts[list(expected)], expected, check_dtype=False, check_exact=True)
    turnover = (bars["vwap"] * bars["volume"]).groupby(bars["bar_start"].dt.date).sum()
    assert facts["vwap"].tolist() == pytest.approx((turnover / days["volume"].sum()).tolist(), rel=1e-12)


@pytest.mark.parametrize("symbol", ["SPY", "AAPL", "NVDA"])
def test_daily_stocks_equal_alpacas_own(recorded: Warehouse, symbol: str) -> None:
    facts = recorded.query(f"select * from MARTS.FCT_BARS_1D where symbol = '{symbol}' order by bar_date")
    alpaca = recording(f"{symbol}_1Day")
    # A daily bar starts at midnight New York.
    alpaca["bar_date"] = alpaca["bar_start"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.date
    exact = ["bar_date", "open", "high", "low"]
    pd.testing.assert_frame_equal(facts[exact], alpaca[exact], check_dtype=False, check_exact=True)
    differ = facts["close"] != alpaca["close"]
    assert set(facts["bar_date"][differ]) == CLOSING_AUCTION_DAYS[symbol]
    assert facts["vwap"].isna().all() and facts["trade_count"].isna().all()


@pytest.mark.parametrize(("table", "rule"), [("FCT_BARS_5M", "5min"), ("FCT_BARS_15M", "15min"), ("FCT_BARS_1H", "1h")])
@pytest.mark.parametrize("name", ["BTC-USD_1Min", "SPY_15Min", "AAPL_15Min", "NVDA_15Min"])
def test_roll_ups_equal_pandas(recorded: Warehouse, table: str, rule: str, name: str) -> None:
    bars = recording(name)
    facts = recorded.query(f"select * from MARTS.{table} where symbol = '{bars['symbol'].iloc[0]}' order by bar_start")
    if pd.Timedelta(rule) < pd.Timedelta(bars["timeframe"].iloc[0].lower()):
        assert facts.empty
        return
    expected = bars.groupby(bars["bar_start"].dt.floor(rule)).agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", exact_sum),
    ).reset_index()  # fmt: skip
    pd.testing.assert_frame_equal(facts[list(expected)], expected, check_dtype=False, check_exact=True)


def test_expected_bars_follow_the_session(recorded: Warehouse) -> None:
    daily = recorded.query("select * from MARTS.FCT_BARS_1D").set_index(["symbol", "bar_date"])
    spy = daily.loc["SPY"]
    assert spy.loc[date(2025, 11, 26), ["expected_bars", "is_early_close"]].tolist() == [26, False]
    assert spy.loc[date(2025, 11, 28), ["expected_bars", "is_early_close"]].tolist() == [14, True]
    assert set(daily.loc["BTC/USD", "expected_bars"]) == {1440}
    assert (daily["is_complete"] == (daily["actual_bars"] >= daily["expected_bars"])).all()
    apart = daily["pre_market_volume"] + daily["regular_volume"] + daily["after_hours_volume"]
    assert apart.tolist() == pytest.approx(daily["volume"].tolist(), rel=1e-12)

    # 13:00 to 14:00 UTC is half before the opening bell in summer; 20:00 is after the close.
    hours = recorded.query("select * from MARTS.FCT_BARS_1H where symbol = 'SPY' and bar_date = '2025-07-01'")
    expected = hours.set_index("bar_start")["expected_bars"]
    assert expected[pd.Timestamp("2025-07-01 13:00")] == 2
    assert expected[pd.Timestamp("2025-07-01 14:00")] == 4
    assert expected[expected.index >= "2025-07-01 20:00"].eq(0).all()
