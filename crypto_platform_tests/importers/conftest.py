from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"]


def recorded(name: str, start: str, end: str) -> pd.DataFrame:
    """Bars of a shipped recording, [start, end); counts and VWAPs are made up where it has none."""
    bars = pd.read_parquet(RECORDINGS / name)
    bars = bars[(bars.timestamp >= start) & (bars.timestamp < end)].reset_index(drop=True)
    if "vwap" not in bars:
        bars = bars.assign(vwap=bars.close, trade_count=np.arange(1, len(bars) + 1))
    return bars[COLUMNS]


@pytest.fixture(scope="session")
def btc() -> pd.DataFrame:
    """Two days of minutes."""
    return recorded("BTC-USD_1Min.parquet", "2026-03-07T00:00Z", "2026-03-09T00:00Z")


@pytest.fixture(scope="session")
def spy() -> pd.DataFrame:
    """Quarters of an hour around the change of New York's clocks on March 8."""
    return recorded("SPY_15Min.parquet", "2026-03-05T00:00Z", "2026-03-12T00:00Z")


@pytest.fixture(scope="session")
def aapl() -> pd.DataFrame:
    """Days, over both changes of New York's clocks."""
    return recorded("AAPL_1Day_1998-2021.parquet", "2020-01-01T00:00Z", "2021-01-01T00:00Z")


@pytest.fixture(scope="session")
def minutes(btc: pd.DataFrame) -> pd.DataFrame:
    """A stock's minutes from 4:00 to 20:00 in New York, of prices that are a hundredth of the coin's."""
    local = btc.timestamp.dt.tz_convert("America/New_York")
    bars = btc[(local.dt.hour >= 4) & (local.dt.hour < 20)].reset_index(drop=True)
    prices = {name: (bars[name] / 100).round(4) for name in ("open", "high", "low", "close")}
    return bars.assign(**prices, volume=(bars.volume * 100).round())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "recordings"
