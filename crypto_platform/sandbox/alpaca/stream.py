"""Alpaca's websocket: authentication, subscriptions, minute bars, their corrections, running days and halts.

https://docs.alpaca.markets/docs/streaming-market-data. Trades, quotes and the like can be subscribed to, and stay
silent: there are only bars here, and the statuses of stocks that a fault halts.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca import access
from crypto_platform.sandbox.alpaca.answers import json_response
from crypto_platform.sandbox.alpaca.assets import exchange_of
from crypto_platform.sandbox.alpaca.clock import Clock
from crypto_platform.sandbox.alpaca.columns import Bars, time_text, to_dicts
from crypto_platform.sandbox.alpaca.faults import STREAMS, Faults
from crypto_platform.sandbox.alpaca.paging import Source
from crypto_platform.sandbox.alpaca.simulated import ALWAYS_ON, Simulated
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, ONE_DAY, ONE_MINUTE, roll_up

AUTH_SECONDS = 10.0

BAR_CHANNELS = {"bars": "b", "updatedBars": "u", "dailyBars": "d"}
CHANNELS: dict[AssetClass, tuple[str, ...]] = {
    "crypto": ("trades", "quotes", "orderbooks", *BAR_CHANNELS),
    "us_equity": ("trades", "quotes", *BAR_CHANNELS, "statuses", "lulds", "corrections", "cancelErrors"),
}
ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    410: "invalid subscribe action for this feed",
}


@dataclass(frozen=True)
class Stream:
    """The stream's endpoints over one source.

    Of the bars with a trade, the share `late_trades` first comes without its last one, and `late_seconds` after its
    minute's end as an update. REST always tells the corrected bar.
    """

    source: Source
    keys: access.Keys
    faults: Faults
    clock: Clock
    late_trades: float
    late_seconds: float
    connected: set[tuple[str, str]] = field(default_factory=set)

    def routes(self) -> list[WebSocketRoute | Route]:
        return [
            WebSocketRoute("/v1beta3/crypto/us", self._crypto),
            WebSocketRoute("/v2/iex", self._stocks),
            WebSocketRoute("/v2/sip", self._stocks),
            WebSocketRoute("/v2/test", self._test),
            Route("/sandbox/clock", self._clock),
        ]

    async def _clock(self, request: Request) -> Response:
        """The stream's time, which a replay's clients have to live in."""
        return json_response(200, {"now": self.clock.now() / 1e9, "speed": self.clock.speed})

    async def _crypto(self, websocket: WebSocket) -> None:
        await _Connection(self, websocket, "crypto", self.source).run()

    async def _stocks(self, websocket: WebSocket) -> None:
        await _Connection(self, websocket, "us_equity", self.source).run()

    async def _test(self, websocket: WebSocket) -> None:
        await _Connection(self, websocket, "us_equity", _AlwaysOn()).run()


class _AlwaysOn(Simulated):
    """The source of the test stream, whatever the server serves: its one symbol around the clock."""

    def symbols(self, asset_class: AssetClass) -> list[str]:
        return [ALWAYS_ON]

    def knows(self, symbol: str, asset_class: AssetClass) -> bool:
        return symbol == ALWAYS_ON


class _ProtocolError(Exception):
    """The code of ERRORS that a message is answered with."""


class _Connection:
    def __init__(self, stream: Stream, websocket: WebSocket, asset_class: AssetClass, source: Source) -> None:
        self.stream = stream
        self.websocket = websocket
        self.asset_class = asset_class
        self.source = source
        # https://docs.alpaca.markets/docs/streaming-market-data#encoding
        self.packed = websocket.headers.get("content-type") == "application/msgpack"
        self.subscriptions: dict[str, set[str]] = {channel: set() for channel in CHANNELS[asset_class]}
        self.held: list[dict[str, Any]] = []

    async def run(self) -> None:
        await self.websocket.accept()
        try:
            await self._send([{"T": "success", "msg": "connected"}])
            if (key := await self._authenticated()) is None:
                return
            place = (self.websocket.url.path, key)
            if place in self.stream.connected:
                await self._refuse(406)
                return
            self.stream.connected.add(place)
            try:
                await self._serve()
            finally:
                self.stream.connected.discard(place)
        except WebSocketDisconnect:
            pass

    async def _authenticated(self) -> str | None:
        """The key that was let in, by the handshake's headers or the first message; None: refused."""
        pair = access.given(self.websocket.headers)
        if pair is None:
            try:
                request = await asyncio.wait_for(self._receive(), AUTH_SECONDS)
                if request.get("action") != "auth":
                    raise _ProtocolError(401)
                pair = str(request.get("key", "")), str(request.get("secret", ""))
            except TimeoutError:
                await self._refuse(404)
                return None
            except _ProtocolError as refusal:
                await self._refuse(refusal.args[0])
                return None
        faults = {"auth_failed": 402, "auth_timeout": 404, "connection_limit": 406}
        if fault := self.stream.faults.take(faults, self.asset_class, self.source.symbols(self.asset_class)):
            await self._refuse(faults[fault.kind])
            return None
        if not self.stream.keys.accepts(*pair):
            await self._refuse(402)
            return None
        return pair[0]

    async def _serve(self) -> None:
        self.stream.clock.begin()
        await self._send([{"T": "success", "msg": "authenticated"}])
        tasks = [asyncio.create_task(part()) for part in (self._obey, self._feed)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _obey(self) -> None:
        while True:
            try:
                request = await self._receive()
                self._subscribe(request)
            except _ProtocolError as refusal:
                await self._send([_error(refusal.args[0])])
                continue
            listed = {channel: sorted(symbols) for channel, symbols in self.subscriptions.items()}
            await self._send([{"T": "subscription", **listed}])

    def _subscribe(self, request: dict[str, Any]) -> None:
        action = request.pop("action", None)
        if action == "auth":
            raise _ProtocolError(403)
        if action not in ("subscribe", "unsubscribe"):
            raise _ProtocolError(400)
        for channel, symbols in request.items():
            if channel not in self.subscriptions:
                raise _ProtocolError(410)
            if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
                raise _ProtocolError(400)
        if self.stream.faults.take(("symbol_limit",), self.asset_class, set().union(*request.values())):
            raise _ProtocolError(405)
        for channel, symbols in request.items():
            change = set.update if action == "subscribe" else set.difference_update
            change(self.subscriptions[channel], symbols)

    async def _feed(self) -> None:
        """Send each minute's bars at its end, corrected ones `late_seconds` after it, and statuses at their time."""
        clock = self.stream.clock
        late = int(self.stream.late_seconds * 1e9)
        ended = clock.now() // MINUTE * MINUTE + MINUTE
        corrected = (clock.now() - late) // MINUTE * MINUTE + MINUTE
        told = clock.now()
        while True:
            due = min(ended, corrected + late)
            await clock.until(min((at for at, _ in self._statuses(told, due)), default=due))
            now = clock.now()
            messages = [status for _, status in self._statuses(told, now, fire=True)]
            told = now
            if ended <= min(now, corrected + late):
                messages += self._minute(ended - MINUTE)
                ended += MINUTE
            elif corrected + late <= now:
                messages += self._corrections(corrected - MINUTE)
                corrected += MINUTE
            for part in await self._disturbed(messages) if messages else ():
                await self._send(part)

    async def _disturbed(self, messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """What is sent in the messages' place."""
        fault = self.stream.faults.take(STREAMS, self.asset_class, {message["S"] for message in messages})
        kind = fault.kind if fault else None
        if kind in ("disconnect", "slow_client"):
            if kind == "slow_client":
                await self._send([_error(407)])
            await self.websocket.close(1012)
            raise WebSocketDisconnect(1012)
        if kind == "mute":
            return []
        if kind == "drop":
            messages = messages[1::2]
        if kind == "reorder":
            self.held += reversed(messages)
            return []
        held, self.held = self.held, []
        return [part for part in (messages, messages if kind == "duplicate" else [], held) if part]

    def _minute(self, start: int) -> list[dict[str, Any]]:
        messages = []
        for symbol in self._subscribed("bars"):
            for bar in self._bar(symbol, start):
                early = _before_late_trade(bar, self.asset_class) if self._has_late_trade(symbol, bar) else bar
                messages.append(self._message("b", symbol, early))
        for symbol in self._subscribed("dailyBars"):
            if self._bar(symbol, start):
                messages.append(self._message("d", symbol, self._day_so_far(symbol, start)))
        return messages

    def _corrections(self, start: int) -> list[dict[str, Any]]:
        return [
            self._message("u", symbol, bar)
            for symbol in self._subscribed("updatedBars")
            for bar in self._bar(symbol, start)
            if self._has_late_trade(symbol, bar)
        ]

    def _statuses(self, after: int, until: int, fire: bool = False) -> list[tuple[int, dict[str, Any]]]:
        """The statuses of after < t <= until, each with its time, in their order."""
        found = []
        for symbol in self._subscribed("statuses") if "statuses" in self.subscriptions else ():
            exchange = exchange_of(self.source.label, symbol)
            for halt, fault in self.stream.faults.halts(symbol):
                told = [(at, status) for at, status in halt.statuses(exchange) if after < at <= until]
                found += [(at, {"T": "s", "S": symbol, **status, "t": self._time(at)}) for at, status in told]
                # One for each: of a server that comes late both are due at once.
                for _ in told if fire else ():
                    fault.fires()
        return sorted(found, key=lambda status: status[0])

    def _subscribed(self, channel: str) -> list[str]:
        symbols = self.subscriptions[channel]
        everything = set(self.source.symbols(self.asset_class)) if "*" in symbols else set()
        return sorted(s for s in symbols | everything if self.source.knows(s, self.asset_class))

    def _bar(self, symbol: str, start: int) -> list[Bars]:
        """The symbol's bar of that minute, if there is one."""
        bars = self._minutes(symbol, start, start)
        altered = self.stream.faults.alter_bars(self.asset_class, {symbol: bars} if len(bars) else {})
        return list(altered.values())

    def _day_so_far(self, symbol: str, last: int) -> Bars:
        midnight = int(ONE_DAY.starts(np.array([last]), self.asset_class)[0])
        return roll_up(self._minutes(symbol, midnight, last), ONE_DAY, self.asset_class)

    def _minutes(self, symbol: str, first: int, last: int) -> Bars:
        """The symbol's minutes of first <= t <= last, at most a day, in which it was not halted."""
        minutes = self.source.bars(symbol, self.asset_class, ONE_MINUTE, first, last, 25 * 60)
        for halt, _ in self.stream.faults.halts(symbol):
            minutes = minutes[~halt.covers(minutes.times)]
        return minutes

    def _has_late_trade(self, symbol: str, bar: Bars) -> bool:
        digest = hashlib.blake2b(f"{symbol}|{bar.times[0]}".encode(), digest_size=4).digest()
        traded = "n" in bar.columns and int(bar.columns["n"][0]) > 1
        return traded and int.from_bytes(digest) < self.stream.late_trades * 2**32

    def _message(self, kind: str, symbol: str, bar: Bars) -> dict[str, Any]:
        return {"T": kind, "S": symbol, **to_dicts(bar)[0], "t": self._time(int(bar.times[0]))}

    def _time(self, at: int) -> Any:
        """A time (ns since the epoch) as the connection's encoding has it."""
        return msgpack.Timestamp.from_unix_nano(at) if self.packed else time_text(at)

    async def _receive(self) -> dict[str, Any]:
        """One message from the client.

        Raises:
            _ProtocolError: it is not an object in the connection's encoding.
            WebSocketDisconnect: the client is gone.
        """
        message = await self.websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        data = message.get("bytes") or (message.get("text") or "").encode()
        try:
            request = msgpack.unpackb(data) if self.packed else json.loads(data)
        except (ValueError, msgpack.UnpackException) as error:
            raise _ProtocolError(400) from error
        if not isinstance(request, dict):
            raise _ProtocolError(400)
        return request

    async def _send(self, messages: list[dict[str, Any]]) -> None:
        if self.packed:
            await self.websocket.send_bytes(msgpack.packb(messages))
        else:
            await self.websocket.send_text(orjson.dumps(messages).decode())

    async def _refuse(self, code: int) -> None:
        await self._send([_error(code)])
        await self.websocket.close()


def _error(code: int) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": ERRORS[code]}


def _before_late_trade(bar: Bars, asset_class: AssetClass) -> Bars:
    """The bar as it was known before its last trade was reported: a tenth of the volume is missing."""
    volume = bar.columns["v"] * 0.9
    return bar.replaced(
        v=np.floor(volume) if asset_class == "us_equity" else np.round(volume, 8), n=bar.columns["n"] - 1
    )
