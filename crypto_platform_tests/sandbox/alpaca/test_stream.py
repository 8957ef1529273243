"""The stream, listened to by an unchanged alpaca-py and by a plain websocket."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import pytest
import requests
from alpaca.data.live import CryptoDataStream, StockDataStream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from crypto_platform.sandbox.alpaca import running, stream
from crypto_platform.sandbox.alpaca.app import create_app
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform_tests.connectors.alpaca.conftest import Server

FIXTURES = Path(__file__).parents[2] / "fixtures" / "alpaca"
FRAMES = [json.loads(line)["frame"][0] for line in (FIXTURES / "websocket-messages.jsonl").open()]
CRYPTO, TEST = "/v1beta3/crypto/us", "/v2/test"


def address(url: str, path: str) -> str:
    return url.replace("http://", "ws://") + path


@contextmanager
def listening(client: Any, *channels: str, symbol: str) -> Iterator[list]:
    """What alpaca-py hands to the subscribers of the channels."""
    heard: list = []

    async def hear(message: Any) -> None:
        heard.append(message)

    for channel in channels:
        getattr(client, f"subscribe_{channel}")(hear, symbol)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        yield heard
    finally:
        client.stop()
        thread.join()


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def recorded_bar(url: str, start: str) -> dict:
    asked = {"symbols": "BTC/USD", "timeframe": "1Min", "start": start, "end": start}
    return requests.get(f"{url}/v1beta3/crypto/us/bars", asked, timeout=10).json()["bars"]["BTC/USD"][0]


def test_alpaca_py_hears_bars_updates_and_days(server: Server) -> None:
    client = CryptoDataStream("key", "secret", raw_data=True, url_override=address(server.url, CRYPTO))
    with listening(client, "bars", "updated_bars", "daily_bars", symbol="BTC/USD") as heard:
        wait_for(lambda: sum(m["T"] == "u" for m in heard) >= 3 and sum(m["T"] == "b" for m in heard) >= 6)
    shapes = {frame["T"]: set(frame) for frame in FRAMES if frame["T"] in "bd" and "n" in frame}
    assert set(heard[0]) == shapes["b"]
    bars = {m["t"]: m for m in heard if m["T"] == "b"}
    times = [t.seconds for t in bars]
    assert times == list(range(times[0], times[0] + 60 * len(times), 60))
    updates = [m for m in heard if m["T"] == "u" and m["t"] in bars]
    for update in updates:
        early, t = bars[update["t"]], update["t"].to_datetime().isoformat()
        assert heard.index(early) < heard.index(update)
        assert early["v"] < update["v"]
        assert early["n"] == update["n"] - 1
        truth = recorded_bar(server.url, t)
        assert {**update, "t": truth["t"]} == {"T": "u", "S": "BTC/USD", **truth}
    first, last = [m for m in heard if m["T"] == "d"][:2]
    assert first["t"] == last["t"]
    assert first["v"] < last["v"]


def test_alpaca_pys_models_read_the_stock_test_stream(server: Server) -> None:
    client = StockDataStream("key", "secret", url_override=address(server.url, TEST))
    with listening(client, "bars", symbol="FAKEPACA") as heard:
        bar = wait_for(lambda: heard and heard[0])
    assert bar.symbol == "FAKEPACA"
    assert bar.low <= bar.close <= bar.high


@pytest.mark.sandbox
def test_simulated_bars_come_as_the_minutes_end() -> None:
    """Replayed from a past time, stocks in their session."""
    options = ("--stream-from", "2026-03-02T15:00:00Z", "--stream-speed", "1200", "--late-trades", "0")
    with running(None, True, *options) as url:
        client = StockDataStream("key", "secret", raw_data=True, url_override=address(url, "/v2/iex"))
        with listening(client, "bars", symbol="*") as heard:
            wait_for(lambda: len(heard) >= 9)
        assert {m["S"] for m in heard} == {"AAPL", "NVDA", "SPY"}
        asked = {"symbols": "SPY", "timeframe": "1Min", "start": "2026-03-02T15:00:00Z", "limit": 100}
        keys = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
        rest = requests.get(f"{url}/v2/stocks/bars", asked, headers=keys, timeout=10).json()["bars"]["SPY"]
        heard_closes = [m["c"] for m in heard if m["S"] == "SPY"]
        closes = [bar["c"] for bar in rest]
        begin = closes.index(heard_closes[0])
        assert closes[begin : begin + len(heard_closes)] == heard_closes


class Plain:
    """A websocket client that speaks JSON."""

    def __init__(self, url: str, path: str, key: str = "key") -> None:
        self.connection = connect(address(url, path))
        self.key = key

    def __enter__(self) -> "Plain":
        self.socket = self.connection.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.connection.__exit__(*exception)

    def hear(self) -> list[dict]:
        return json.loads(self.socket.recv(timeout=10))

    def say(self, **message: Any) -> list[dict]:
        self.socket.send(json.dumps(message))
        return self.hear()

    def authenticate(self) -> list[dict]:
        assert self.hear() == [{"T": "success", "msg": "connected"}]
        return self.say(action="auth", key=self.key, secret="secret")


def error(code: int) -> list[dict]:
    """As Alpaca words it."""
    return [frame for frame in FRAMES if frame.get("code") == code][:1]


def test_the_subscription_is_told_whole(server: Server) -> None:
    with Plain(server.url, CRYPTO) as plain:
        assert plain.authenticate() == [{"T": "success", "msg": "authenticated"}]
        plain.say(action="subscribe", quotes=["LTC/USD", "ETH/USD"], trades=["BTC/USD"])
        (told,) = plain.say(action="unsubscribe", quotes=["LTC/USD", "DOGE/USD"])
    assert (told.pop("T"), told.pop("trades"), told.pop("quotes")) == ("subscription", ["BTC/USD"], ["ETH/USD"])
    assert told == {"orderbooks": [], "bars": [], "updatedBars": [], "dailyBars": []}


def test_mistakes_are_answered_with_alpacas_errors(server: Server) -> None:
    with Plain(server.url, CRYPTO) as plain:
        plain.authenticate()
        assert plain.say(action="auth", key="key", secret="secret") == error(403)
        assert plain.say(action="dance") == error(400)
        assert plain.say(action="subscribe", bars="BTC/USD") == error(400)
        assert plain.say(action="subscribe", statuses=["*"]) == error(410)
        plain.socket.send("{")
        assert plain.hear() == error(400)
    with Plain(server.url, CRYPTO) as plain:
        plain.hear()
        assert plain.say(action="subscribe", bars=["BTC/USD"]) == error(401)
    with Plain(server.url, CRYPTO, key="") as plain:
        assert plain.authenticate() == error(402)


def test_one_connection_an_endpoint_and_key(server: Server) -> None:
    with Plain(server.url, CRYPTO) as first:
        first.authenticate()
        with Plain(server.url, CRYPTO) as second:
            assert second.authenticate() == error(406)
            with pytest.raises(ConnectionClosed):
                second.hear()
        for path, key in ((TEST, "key"), (CRYPTO, "another")):
            with Plain(server.url, path, key) as other:
                assert other.authenticate() == [{"T": "success", "msg": "authenticated"}]

    def let_in() -> bool:
        with Plain(server.url, CRYPTO) as next_one:
            return next_one.authenticate() == [{"T": "success", "msg": "authenticated"}]

    wait_for(let_in)


def test_msgpack_is_spoken_to_who_asks_for_it(server: Server) -> None:
    headers = {"Content-Type": "application/msgpack", "APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
    with connect(address(server.url, TEST), additional_headers=headers) as socket:
        heard = [msgpack.unpackb(socket.recv(timeout=10)) for _ in range(2)]
        assert [frame[0]["msg"] for frame in heard] == ["connected", "authenticated"]
        assert socket.response is not None
        assert socket.response.headers["X-Not-Alpaca"] == "recorded"


def test_a_silent_client_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AUTH_SECONDS", 0.05)
    incoming: asyncio.Queue[dict] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    sent: list[dict] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": CRYPTO, "headers": [], "query_string": b"", "subprotocols": []}
    asyncio.run(create_app(Simulated())(scope, incoming.get, send))
    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.send",
        "websocket.close",
    ]
    assert json.loads(sent[2]["text"]) == error(404)


def test_a_muted_stream_stays_open_and_a_cut_one_comes_back(server: Server) -> None:
    client = CryptoDataStream("key", "secret", raw_data=True, url_override=address(server.url, CRYPTO))
    client._reconnect_min_backoff = 0.05
    with listening(client, "bars", symbol="BTC/USD") as heard:
        wait_for(lambda: heard)
        server.arm("mute", times=5, match={"symbol": "BTC/USD"})
        server.arm("mute", match={"symbol": "ETH/USD"})
        wait_for(lambda: server.fired() == 5)
        wait_for(lambda: _gap(heard) == 6 * 60)
        server.arm("disconnect")
        wait_for(lambda: server.fired() == 6)
        told = len(heard)
        wait_for(lambda: len(heard) > told)


def _gap(heard: list[dict]) -> int:
    times = [message["t"].seconds for message in heard]
    return max((b - a for a, b in pairwise(times)), default=0)


def test_faults_of_bars_reach_the_stream(server: Server) -> None:
    client = CryptoDataStream("key", "secret", raw_data=True, url_override=address(server.url, CRYPTO))
    with listening(client, "bars", symbol="BTC/USD") as heard:
        wait_for(lambda: heard)
        server.arm("inverted")
        spoilt = wait_for(lambda: [message for message in heard if message["h"] < message["l"]])
    assert len(spoilt) == server.fired() == 1
