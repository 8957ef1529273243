"""What public reports tell goes wrong with bars: days that are missing, a ticker used again, bars that cannot be."""

import runpy
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest

from crypto_platform.market.bars import TOLERANCE
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh
from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse, case, made_of, recording

OBSERVED = pd.Timestamp("2026-06-01")
BUILD = ("build", "--exclude-resource-type", "unit_test")


def returns(warehouse: Warehouse, symbol: str) -> pd.DataFrame:
    facts = warehouse.query(f"select * from MARTS.FCT_RETURNS_1D where symbol = '{symbol}' order by bar_date")
    return facts.set_index("bar_date")


@pytest.fixture(scope="module")
def gaps(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    warehouse = new_warehouse("GAPS")
    warehouse.load("crypto", case("days-missing"), OBSERVED)
    warehouse.load("us_equity", case("reused-ticker"), OBSERVED)
    # On the 9th the exchange was closed, on the 13th it was not.
    closes = pd.Series({"2025-01-08": 590.0, "2025-01-10": 580.0, "2025-01-14": 581.0})
    spy = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes)).assign(
        symbol="SPY", timeframe="15Min", bar_start=pd.to_datetime(closes.index + " 20:45").as_unit("us"), volume=1.0
    )
    warehouse.load("us_equity", spy, OBSERVED)
    warehouse.build("fct_returns_1d", "market_overview", "live_prices")
    return warehouse


def test_a_return_is_of_one_day_of_a_coin(gaps: Warehouse) -> None:
    facts = returns(gaps, "BTC/USD")
    assert facts["previous_bar_date"].tolist() == [None, date(2026, 2, 1), date(2026, 2, 2)]
    assert facts["simple_return"].tolist() == pytest.approx([np.nan, 0.1, np.nan], nan_ok=True)
    assert facts["log_return"].tolist() == pytest.approx([np.nan, np.log(1.1), np.nan], nan_ok=True)
    assert facts["drawdown"].tolist() == [0, 0, 0]


def test_a_return_is_of_one_session_of_a_stock(gaps: Warehouse) -> None:
    facts = returns(gaps, "META")
    assert facts["previous_bar_date"].tolist() == [None, date(2022, 1, 28), date(2022, 6, 9)]
    assert facts["simple_return"].tolist() == pytest.approx([np.nan, np.nan, 175.57 / 184 - 1], nan_ok=True)
    assert round(100 * facts["simple_return"].iloc[-1], 3) == -4.582
    facts = returns(gaps, "SPY")
    assert facts["simple_return"].tolist() == pytest.approx([np.nan, 580 / 590 - 1, np.nan], nan_ok=True)


def test_changes_beside_a_price_are_of_one_session_too(gaps: Warehouse) -> None:
    meta = 175.57 / 184 - 1
    # 24 hours before SPY's last bar the price of Friday the 10th was the last one known; a return is not from it.
    for mart, change, spy in (
        ("MARKET_OVERVIEW", "change_24h", 581 / 580 - 1),
        ("LIVE_PRICES", "change_today", np.nan),
    ):
        facts = gaps.query(f"select symbol, {change} from MARTS.{mart} order by symbol").set_index("symbol")[change]
        expected = {"BTC/USD": np.nan, "META": meta, "SPY": spy}
        assert facts.to_dict() == pytest.approx(expected, nan_ok=True), mart


def test_windows_are_of_returns_of_one_session(new_warehouse: Callable[[str], Warehouse]) -> None:
    """Days are missing of each, and one of them comes later: builds by days equal a full refresh."""
    warehouse = new_warehouse("MISSING_DAYS")
    bitcoin, spy = recording("BTC-USD_1Min"), recording("SPY_15Min")
    bitcoin = bitcoin[bitcoin["bar_start"].dt.strftime("%H:%M") == "20:45"]
    bitcoin = bitcoin[bitcoin["bar_start"].dt.date != date(2026, 4, 7)]
    spy = spy[(spy["bar_start"] >= "2026-01-01") & (spy["bar_start"].dt.strftime("%H:%M") == "19:30")]
    spy = spy[~spy["bar_start"].dt.date.isin([date(2026, 3, 12), date(2026, 4, 15)])]
    late = bitcoin["bar_start"].dt.date == date(2026, 3, 20)
    warehouse.load("crypto", bitcoin[~late], OBSERVED)
    warehouse.load("us_equity", spy, OBSERVED)
    windows = ("fct_returns_1d", "fct_correlations")
    warehouse.build(*windows)
    assert pd.isna(returns(warehouse, "BTC/USD").loc[date(2026, 3, 21), "simple_return"])
    warehouse.load("crypto", bitcoin[late], OBSERVED)
    warehouse.dbt("run", *made_of(windows), "--vars", "{start: 2026-03-20, end: 2026-03-21}")

    close = bitcoin.set_index(bitcoin["bar_start"].dt.date)["close"]
    logarithmic = np.log(close).diff().where(close.index.to_series().diff() == pd.Timedelta(days=1))
    facts = returns(warehouse, "BTC/USD")
    assert facts.index[facts["log_return"].isna()].tolist() == [date(2026, 3, 1), date(2026, 4, 8)]
    np.testing.assert_allclose(facts["log_return"].astype(float), logarithmic, rtol=1e-9)
    for count in (7, 30):
        # A day without a return has the window of those before it.
        expected = logarithmic.dropna().rolling(count).std().reindex(close.index).ffill() * np.sqrt(365)
        actual = facts[f"realised_volatility_{count}d"].astype(float)
        assert expected.notna().sum() == len(close) - count
        np.testing.assert_allclose(actual, expected, rtol=1e-9)

    # Beside a stock: from session to session, none where one of the two has no close.
    both = pd.concat({"coin": close, "stock": spy.set_index(spy["bar_start"].dt.date)["close"]}, axis=1, join="inner")
    sessions = np.busday_offset(both.index.to_numpy("datetime64[D]"), -1, holidays=["2026-04-03", "2026-05-25"])
    neighbours = np.r_[False, both.index.to_numpy("datetime64[D]")[:-1] == sessions[1:]]
    changes = np.log(both).diff()[neighbours]
    assert (~neighbours).sum() == 1 + 3
    expected = changes["coin"].rolling(30).corr(changes["stock"]).dropna()
    facts = warehouse.query("select * from MARTS.FCT_CORRELATIONS order by bar_date").set_index("bar_date")
    assert facts.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(facts["correlation_30d"], expected, rtol=1e-9)
    assert_equals_full_refresh(warehouse, *windows)


def test_bars_that_cannot_be_are_in_no_model(new_warehouse: Callable[[str], Warehouse]) -> None:
    """Those that were loaded before a rule against them; a build, a day's build and their tests take the others."""
    warehouse = new_warehouse("IMPOSSIBLE")
    bars = case("impossible-bars")
    warehouse.load("crypto", bars, OBSERVED)
    window = ("--vars", "{start: 2026-03-01, end: 2026-03-02}")
    for build in (BUILD, (*BUILD, *window)):
        results = warehouse.dbt(*build)
        assert {str(result.status) for result in results} <= {"pass", "success", "no-op"}
    facts = warehouse.query("select * from MARTS.FCT_BARS order by bar_start")
    assert facts["bar_start"].tolist() == bars["bar_start"].tolist()[:4]
    assert facts["high"].tolist() == [100, 110, 106, 104.999999999]
    assert facts["vwap"].astype(float).tolist() == pytest.approx([np.nan, 101, np.nan, 104.6], nan_ok=True)
    (day,) = warehouse.query("select low, high, close, volume, vwap from MARTS.FCT_BARS_1D").to_dict("records")
    assert day == {"low": 90, "high": 110, "close": 104.5, "volume": 3, "vwap": pytest.approx((2 * 101 + 104.6) / 3)}
    # The facts are tested with the load's tolerance.
    tests = ("test", "--select", "fct_bars_prices_make_sense")
    warehouse.query(f"update MARTS.FCT_BARS set vwap = high * (1 + {TOLERANCE / 2}) where vwap = 101")
    warehouse.dbt(*tests)
    warehouse.query(f"update MARTS.FCT_BARS set vwap = high * (1 + {TOLERANCE * 2}) where vwap > high")
    with pytest.raises(AssertionError, match="fct_bars_prices_make_sense"):
        warehouse.dbt(*tests)
    # What was known before stays the bar, and a build of the day mends it.
    warehouse.load("crypto", bars[1:2].assign(vwap=300.0), OBSERVED + pd.Timedelta(hours=1))
    warehouse.dbt("run", *made_of(["fct_bars"]), *window)
    assert warehouse.query("select vwap from MARTS.FCT_BARS where vwap > 0 order by 1")["vwap"].tolist() == [101, 104.6]


def test_dbts_rules_are_the_loads() -> None:
    script = runpy.run_path(str(PROJECT / "macros" / "make_bar_rules.py"))
    assert script["MACROS"].read_text() == script["macros"](), "run python dbt_project/macros/make_bar_rules.py"
