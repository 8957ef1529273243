"""A halted stock at the sandbox: no bars by either way, and its statuses on the stream."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.data.live import StockDataStream

from crypto_platform.market.trading_statuses import is_halted
from crypto_platform.sandbox.alpaca import running
from crypto_platform_tests.connectors.alpaca.conftest import Server
from crypto_platform_tests.market.test_trading_statuses import EXAMPLE
from crypto_platform_tests.sandbox.alpaca.test_stream import address, listening, wait_for

KEYS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
DAY = {"start": "2026-03-02T15:00:00Z", "end": "2026-03-02T15:59:59Z", "limit": 10_000}


@pytest.fixture
def server(simulated_url: str) -> Iterator[Server]:
    server = Server(simulated_url)
    yield server
    server.clear()


@pytest.fixture
def replay() -> Iterator[Server]:
    """A market that begins at 15:00 and goes 240 times as fast as time."""
    with running(None, True, "--stream-from", "2026-03-02T15:00:00Z", "--stream-speed", "240") as url:
        yield Server(url)


def bars(url: str, symbol: str = "AAPL", timeframe: str = "1Min", **change: Any) -> list[dict[str, Any]]:
    asked = {"symbols": symbol, "timeframe": timeframe, **DAY, **change}
    return requests.get(f"{url}/v2/stocks/bars", asked, headers=KEYS, timeout=10).json()["bars"].get(symbol, [])


def halt(server: Server, symbol: str = "AAPL", start: str = "15:04:30", end: str = "15:31:00") -> None:
    match = {"symbol": symbol, "start": f"2026-03-02T{start}Z", "end": f"2026-03-02T{end}Z"}
    server.arm("halt", match=match)


def test_rest_has_no_bars_of_a_halt_and_parts_of_those_it_cuts(server: Server) -> None:
    whole = {timeframe: bars(server.url, timeframe=timeframe) for timeframe in ("1Min", "15Min", "1Day")}
    other = bars(server.url, "SPY")
    halt(server)
    minutes = bars(server.url)
    # Of the minute in which it began a part was traded.
    assert [bar["t"][11:16] for bar in minutes] == [f"15:{m:02}" for m in range(60) if m < 5 or m >= 31]
    assert minutes == [bar for bar in whole["1Min"] if bar in minutes]
    quarters = bars(server.url, timeframe="15Min")
    assert [bar["t"][11:16] for bar in quarters] == ["15:00", "15:30", "15:45"]
    for quarter in quarters:
        own = [m for m in minutes if 0 <= int(m["t"][14:16]) - int(quarter["t"][14:16]) < 15]
        assert (quarter["o"], quarter["c"]) == (own[0]["o"], own[-1]["c"])
        assert quarter["v"] == sum(m["v"] for m in own)
    assert bars(server.url, "SPY") == other
    # By pages, in whichever order, it is the same.
    asked = {"symbols": "AAPL,SPY", "timeframe": "1Min", **DAY, "limit": 7}
    found, token = [], None
    while token != "":
        more = {"page_token": token} if token else {}
        page = requests.get(f"{server.url}/v2/stocks/bars", asked | more, headers=KEYS, timeout=10)
        found += page.json()["bars"].get("AAPL", [])
        token = page.json()["next_page_token"] or ""
    assert found == minutes
    assert bars(server.url, sort="desc") == minutes[::-1]
    server.clear()
    assert bars(server.url, timeframe="15Min") == whole["15Min"]


@pytest.mark.sandbox
def test_recorded_bars_that_no_minutes_are_known_of_go_if_they_are_halted_as_a_whole(tmp_path: Path) -> None:
    rows = "\n".join(f"AAPL,2026-03-02T{t}:00Z,1,2,0.5,1.5,10" for t in ("15:00", "15:15", "15:30"))
    (tmp_path / "AAPL_15Min.csv").write_text(f"symbol,timestamp,open,high,low,close,volume\n{rows}\n")
    with running(tmp_path, False) as url:
        halt(Server(url))
        assert [bar["t"][11:16] for bar in bars(url, timeframe="15Min")] == ["15:00", "15:30"]


def test_the_stream_tells_a_halt_and_its_end_and_is_silent_meanwhile(replay: Server) -> None:
    """Of a stock of either plan's tape, as Alpaca's example has it."""
    for symbol in ("AAPL", "SPY"):
        halt(replay, symbol, "15:04:30", "15:08:00")
    client = StockDataStream("key", "secret", raw_data=True, url_override=address(replay.url, "/v2/iex"))
    with listening(client, "bars", "trading_statuses", symbol="*") as heard:
        wait_for(lambda: any(m["T"] == "b" and m["t"].to_datetime().minute >= 9 for m in heard), 30)
    statuses = [m for m in heard if m["T"] == "s"]
    assert all(set(status) == {"T", "S", *EXAMPLE} for status in statuses)
    told = [(s["S"], f"{s['t'].to_datetime():%H:%M:%S}", is_halted(s["z"], s["sc"])) for s in statuses]
    assert sorted(told) == sorted(
        (symbol, at, halted) for symbol in ("AAPL", "SPY") for at, halted in (("15:04:30", True), ("15:08:00", False))
    )
    places = [(m["S"], m["T"], m["t"].to_datetime().minute) for m in heard]
    for symbol in ("AAPL", "SPY"):
        minutes = [minute for s, kind, minute in places if s == symbol and kind == "b"]
        assert not {5, 6, 7} & set(minutes)
        assert {4, 8} <= set(minutes)
        assert places.index((symbol, "b", 4)) > places.index((symbol, "s", 4))
    assert replay.fired() == 4


def test_a_halt_without_a_symbol_is_refused(server: Server) -> None:
    answer = requests.post(f"{server.url}/sandbox/faults", json={"kind": "halt"}, timeout=10)
    assert answer.status_code == 400
    assert "symbol" in json.loads(answer.text)["message"]
