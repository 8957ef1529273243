"""The indicators beside TA-Lib, on the recordings: every row from the end of the warm-up on."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import talib

from crypto_platform_tests.dbt_project.warehouse import Warehouse

TABLES = {"1H": "bar_start", "1D": "bar_date"}
SYMBOLS = ("BTC/USD", "SPY", "AAPL", "NVDA")


def moving_deviation(close: np.ndarray) -> np.ndarray:
    upper, middle, _ = talib.BBANDS(close, timeperiod=20, nbdevup=1, nbdevdn=1)
    return upper - middle


def macd(close: np.ndarray) -> np.ndarray:
    """TA-Lib's own MACD seeds the fast average late; its two EMAs are the platform's definition."""
    return talib.EMA(close, 12) - talib.EMA(close, 26)


def signal(close: np.ndarray) -> np.ndarray:
    values = macd(close)
    return np.concatenate([values[:25], talib.EMA(values[25:], 9)])


REFERENCE: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "sma_20": lambda bars: talib.SMA(bars["close"], 20),
    "sma_50": lambda bars: talib.SMA(bars["close"], 50),
    "sma_200": lambda bars: talib.SMA(bars["close"], 200),
    "ema_12": lambda bars: talib.EMA(bars["close"], 12),
    "ema_26": lambda bars: talib.EMA(bars["close"], 26),
    "macd": lambda bars: macd(bars["close"].to_numpy()),
    "macd_signal": lambda bars: signal(bars["close"].to_numpy()),
    "rsi_14": lambda bars: talib.RSI(bars["close"], 14),
    "bollinger_lower": lambda bars: talib.BBANDS(bars["close"], 20)[2],
    "bollinger_middle": lambda bars: talib.BBANDS(bars["close"], 20)[1],
    "bollinger_upper": lambda bars: talib.BBANDS(bars["close"], 20)[0],
    "atr_14": lambda bars: talib.ATR(bars["high"], bars["low"], bars["close"], 14),
    "obv": lambda bars: talib.OBV(bars["close"], bars["volume"]),
}


def bars_with_indicators(warehouse: Warehouse, table: str, symbol: str) -> pd.DataFrame:
    order = TABLES[table]
    bars = warehouse.query(
        f"select bars.high, bars.low, bars.volume, bars.vwap, indicators.* "
        f"from MARTS.FCT_INDICATORS_{table} as indicators "
        f"inner join MARTS.FCT_BARS_{table} as bars using (symbol, {order}) "
        f"where symbol = '{symbol}' order by {order}"
    )
    return bars.astype(dict.fromkeys((*REFERENCE, "macd_histogram", "vwap", "vwap_20"), float))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("table", TABLES)
def test_indicators_equal_talib(recorded: Warehouse, table: str, symbol: str) -> None:
    bars = bars_with_indicators(recorded, table, symbol)
    for name, reference in REFERENCE.items():
        expected = pd.Series(np.asarray(reference(bars)))
        if name != "sma_200" or len(bars) >= 200:
            assert expected.notna().any(), name
        # NULL until the window is full, and from then on never again.
        assert bars[name].isna().tolist() == expected.isna().tolist(), name
        np.testing.assert_allclose(bars[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)
    assert (bars["macd_histogram"] == bars["macd"] - bars["macd_signal"])[33:].all()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_macd_equals_talibs_own_once_its_seed_has_faded(recorded: Warehouse, symbol: str) -> None:
    bars = bars_with_indicators(recorded, "1H", symbol)
    for name, expected in zip(("macd", "macd_signal", "macd_histogram"), talib.MACD(bars["close"]), strict=True):
        # 1e-9 of the price: a MACD near zero has no relative precision of its own.
        tolerance = 1e-9 * bars["close"].max() / 100
        np.testing.assert_allclose(bars[name][300:], expected[300:], rtol=1e-9, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_rolling_vwap(recorded: Warehouse, symbol: str) -> None:
    bars = bars_with_indicators(recorded, "1H", symbol)
    price = bars["vwap"].fillna((bars["high"] + bars["low"] + bars["close"]) / 3)
    expected = (price * bars["volume"]).rolling(20).sum() / bars["volume"].rolling(20).sum()
    np.testing.assert_allclose(bars["vwap_20"], expected, rtol=1e-9)
