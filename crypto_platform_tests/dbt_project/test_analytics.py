"""Returns, correlations, the usual week and the overview beside pandas, on the recordings."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

SYMBOLS = {"BTC/USD": 365, "SPY": 252, "AAPL": 252, "NVDA": 252}
RISK_FREE_RATE = 0.04


def closes(warehouse: Warehouse, symbol: str) -> pd.Series:
    daily = warehouse.query(f"select bar_date, close from MARTS.FCT_BARS_1D where symbol = '{symbol}' order by 1")
    return daily.set_index("bar_date")["close"]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_returns_and_what_follows(recorded: Warehouse, symbol: str) -> None:
    close, days = closes(recorded, symbol), SYMBOLS[symbol]
    facts = recorded.query(f"select * from MARTS.FCT_RETURNS_1D where symbol = '{symbol}' order by bar_date")
    facts = facts.set_index("bar_date")
    simple, logarithmic, peak = close.pct_change(), np.log(close).diff(), close.cummax()
    at_peak = pd.Series(np.where(close == peak, np.arange(len(close)), 0), close.index).cummax()
    expected = {
        "simple_return": simple,
        "log_return": logarithmic,
        "realised_volatility_7d": logarithmic.rolling(7).std() * np.sqrt(days),
        "realised_volatility_30d": logarithmic.rolling(30).std() * np.sqrt(days),
        "drawdown": close / peak - 1,
        "drawdown_days": np.arange(len(close)) - at_peak,
        "sharpe_30d": (simple.rolling(30).mean() * days - RISK_FREE_RATE) / (simple.rolling(30).std() * np.sqrt(days)),
    }
    for name, values in expected.items():
        actual = facts[name].astype(float)
        assert actual.isna().tolist() == values.isna().tolist(), name
        np.testing.assert_allclose(actual, values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_split_is_told(new_warehouse: Callable[[str], Warehouse]) -> None:
    """Unadjusted prices have it as a return."""
    warehouse = new_warehouse("SPLIT")
    bars = recording("SPY_15Min").query("'2025-11-25' <= bar_start < '2025-11-29'")
    prices = ["open", "high", "low", "close"]
    selected = ("--select", "+fct_returns_1d", "--indirect-selection", "cautious")
    build = ("build", *selected, "--exclude-resource-type", "unit_test")
    for ratio, warns in ((1.0, []), (2.0, ["no_stock_return_looks_like_a_split"])):
        split = bars["bar_start"] >= "2025-11-28"
        frame = bars.assign(**{price: bars[price].where(~split, bars[price] / ratio) for price in prices})
        warehouse.load("us_equity", frame, pd.Timestamp("2025-12-01") + pd.Timedelta(hours=ratio))
        assert [result.node.name for result in warehouse.dbt(*build) if result.status == "warn"] == warns


def test_correlations_of_every_pair_of_a_few_symbols(recorded: Warehouse) -> None:
    facts = recorded.table("MARTS.FCT_CORRELATIONS").set_index(["symbol_a", "symbol_b", "bar_date"])["correlation_30d"]
    assert set(facts.index.droplevel("bar_date")) == {
        *((("BTC/USD", stock)) for stock in ("AAPL", "NVDA", "SPY")),
        ("AAPL", "NVDA"), ("AAPL", "SPY"), ("NVDA", "SPY"),
    }  # fmt: skip
    for one, other in facts.index.droplevel("bar_date").unique():
        # Returns between the days that both have: a coin's weekend is in its Monday, as a stock's is.
        both = pd.concat({symbol: closes(recorded, symbol) for symbol in (one, other)}, axis=1, join="inner")
        returns = np.log(both.sort_index()).diff().dropna()
        expected = returns[one].rolling(30).corr(returns[other]).dropna()
        actual = facts.loc[one, other].sort_index()
        assert actual.index.tolist() == expected.index.tolist()
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_correlations_pair_the_largest_and_one_of_two_feeds_once(
    new_warehouse: Callable[[str], Warehouse],
) -> None:
    warehouse = new_warehouse("CORRELATED")
    dollars = {}
    for symbol in ("SPY", "AAPL", "NVDA"):
        bars = recording(f"{symbol}_15Min").query("'2025-09-01' <= bar_start < '2025-11-15'")
        warehouse.load("us_equity", bars, pd.Timestamp("2026-06-01"))
        daily = bars.groupby(bars["bar_start"].dt.normalize())
        dollars[symbol] = (daily["close"].last() * daily["volume"].sum()).sum()
    day = pd.DatetimeIndex(daily.groups).tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
    # NVDA's days, the last symbol's, as another feed's, of which a tenth was traded.
    prices = {"open": daily["open"].first(), "high": daily["high"].max(), "low": daily["low"].min()}
    columns = prices | {"close": daily["close"].last(), "volume": daily["volume"].sum() / 10}
    frame = pd.DataFrame({**columns, "trade_count": 1, "vwap": None}).astype({"vwap": float})
    frame = frame.assign(symbol="NVDA", timeframe="1Day", bar_start=day.astype("datetime64[us]"))
    warehouse.load("us_equity_daily", frame.reset_index(drop=True), pd.Timestamp("2026-06-01"))
    selected = ("--select", "+fct_correlations", "--exclude-resource-type", "unit_test")
    warehouse.dbt("build", *selected, "--indirect-selection", "cautious")

    def pairs(*variables: str) -> list[tuple[str, ...]]:
        chosen = ("--select", "int_correlated_symbols", "fct_correlations", "--vars", *variables) if variables else ()
        if chosen:
            warehouse.dbt("run", *chosen)
        query = "select distinct feed_a, symbol_a, feed_b, symbol_b from MARTS.FCT_CORRELATIONS order by 1, 2, 3, 4"
        return [tuple(row) for row in warehouse.query(query).to_numpy()]

    feed = "us_equity"
    assert pairs() == [(feed, "AAPL", feed, "NVDA"), (feed, "AAPL", feed, "SPY"), (feed, "NVDA", feed, "SPY")]
    largest = sorted(sorted(dollars, key=lambda symbol: -dollars[symbol])[:2])
    assert pairs("{correlated_symbols_count: 2}") == [(feed, largest[0], feed, largest[1])]
    # One without bars is left out, with a warning.
    assert pairs("{correlated_symbols: [SPY, AAPL, XYZ]}") == [(feed, "AAPL", feed, "SPY")]
    with pytest.raises(AssertionError, match="correlated_symbols: no bar of XYZ"):
        pairs("{correlated_symbols: [SPY, AAPL, XYZ]}", "--warn-error")
    with pytest.raises(AssertionError, match="are at most 50"):
        pairs("{correlated_symbols_count: 51}")


def test_the_usual_week_of_a_stock_is_new_yorks(recorded: Warehouse) -> None:
    profile = recorded.query("select * from MARTS.FCT_INTRADAY_PROFILE where symbol = 'SPY'")
    assert profile["day_of_week"].max() == 5
    assert profile["hour_of_day"].min() >= 4
    assert profile["hour_of_day"].max() < 20
    assert profile["volume_share"].sum() == pytest.approx(1)
    bars = recording("SPY_15Min")
    local = bars["bar_start"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    hours = bars.groupby(local.dt.floor("h"))
    volume, change = hours["volume"].sum(), np.log(hours["close"].last() / hours["open"].first())
    monday_ten = (volume.index.dayofweek == 0) & (volume.index.hour == 10)
    row = profile.set_index("hour_of_week").loc[10]
    assert row["volume_share"] == pytest.approx(volume[monday_ten].sum() / volume.sum(), rel=1e-12)
    assert row["bars"] == monday_ten.sum()
    assert row["mean_volume"] == pytest.approx(volume[monday_ten].mean(), rel=1e-12)
    assert row["hourly_volatility"] == pytest.approx(change[monday_ten].std(), rel=1e-9)


def test_the_overview_is_the_newest_bars(recorded: Warehouse) -> None:
    overview = recorded.table("MARTS.MARKET_OVERVIEW").set_index("symbol")
    assert set(overview.index) == set(SYMBOLS)
    bars = recording("BTC-USD_1Min")
    row, day = overview.loc["BTC/USD"], bars[-1440:]
    assert row["last_price_at"] == pd.Timestamp("2026-06-01")
    assert row["price_age_seconds"] > 0
    assert row["last_price"] == bars["close"].iloc[-1]
    assert row["change_24h"] == pytest.approx(bars["close"].iloc[-1] / bars["close"].iloc[-1441] - 1, rel=1e-12)
    assert (row["high_24h"], row["low_24h"]) == (day["high"].max(), day["low"].min())
    assert row["volume_24h"] == pytest.approx(day["volume"].sum(), rel=1e-12)
    assert row["volume_ratio"] == pytest.approx(day["volume"].sum() / (bars["volume"][-31 * 1440 : -1440].sum() / 30))
    volatility = overview["realised_volatility_30d"]
    assert overview["volatility_rank"].tolist() == volatility.rank(ascending=False).tolist()
