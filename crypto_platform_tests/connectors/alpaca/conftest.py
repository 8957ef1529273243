"""The Alpaca sandbox server, simulated, with its faults on demand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from crypto_platform.connectors.lake import Lake
from crypto_platform.ingestion.extract import BarsRequest
from crypto_platform.market.bars import Timeframe
from crypto_platform.sandbox.alpaca import launch
from crypto_platform.settings import Settings

KEY, SECRET = "KEY-SENTINEL-0123456789", "SECRET-SENTINEL-abcdefghijklmnop"


@dataclass
class Server:
    """The server's address and its faults."""

    url: str

    def arm(self, kind: str, **fault: Any) -> None:
        answer = requests.post(f"{self.url}/sandbox/faults", json={"kind": kind, **fault}, timeout=10)
        assert answer.status_code == 201, answer.text

    def fired(self) -> int:
        armed = requests.get(f"{self.url}/sandbox/faults", timeout=10).json()["faults"]
        return sum(fault["fired"] for fault in armed)

    def clear(self) -> None:
        requests.delete(f"{self.url}/sandbox/faults", timeout=10).raise_for_status()


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    with launch.running(None, True) as url:
        yield Server(url)


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    yield one_server
    one_server.clear()


def settings_for(url: str, **changes: Any) -> Settings:
    fields = {
        "apca_api_data_url": url,
        "apca_api_key_id": KEY,
        "apca_api_secret_key": SECRET,
        "alpaca_backoff_seconds": 0.01,
        "alpaca_max_attempts": 4,
    }
    return Settings(_env_file=None, **{**fields, **changes})


def crypto(
    start: date,
    end: date,
    symbols: tuple[str, ...] = ("BTC/USD", "ETH/USD"),
    timeframe: str = "1Min",
) -> BarsRequest:
    return BarsRequest("crypto", "crypto", symbols, Timeframe.parse(timeframe), start, end)


def stocks(start: date, end: date, symbols: tuple[str, ...], timeframe: str = "15Min") -> BarsRequest:
    return BarsRequest("us_equity", "us_equity", symbols, Timeframe.parse(timeframe), start, end, "iex", "raw")


@pytest.fixture
def new_lake(tmp_path: Path) -> Callable[[str], Lake]:
    return lambda name="lake": Lake(str(tmp_path / name))


def contents(lake: Lake, feed: str = "crypto", timeframe: str = "1Min") -> dict[date, dict[str, list[bytes]]]:
    """Every line of the lake by day and symbol: what must not depend on how it came there."""
    return {
        day: {symbol: s.lines for symbol, s in lake.read_day(feed, timeframe, day).sections.items()}
        for day in lake.days(feed, timeframe)
    }
