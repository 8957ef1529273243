"""Alpaca's websocket through alpaca-py's own live clients, one connection at a time.

alpaca-py's endless loop logs whatever goes wrong and tries again; here each connection is listened to until it ends,
and what ended it is an exception.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgpack
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.live.websocket import DataStream

from crypto_platform.connectors.alpaca.client import keys
from crypto_platform.connectors.alpaca.errors import AlpacaConfigError
from crypto_platform.connectors.alpaca.transport import check_address
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import ALPACA_DATA_URL, Settings
from crypto_platform.streaming.refusals import StreamRefusedError

ALPACA_STREAM_URL = "wss://stream.data.alpaca.markets"
OPEN_SECONDS = 15.0
_SOCKET = {
    "open_timeout": OPEN_SECONDS,
    "ping_interval": 10,
    "ping_timeout": 30,
    "close_timeout": 1,
    "max_queue": 1024,
    # 11,000 bars in one frame are more than the library's megabyte, and it would close the connection.
    "max_size": 64 * 2**20,
}

Hear = Callable[[dict[str, Any]], None]


class MalformedFrameError(Exception):
    """What came is not of Alpaca's protocol: whatever stands between is no stream."""


class _Listening(DataStream):
    """Hands bars and trading statuses over as they are, raises what the server refuses."""

    hear: Hear
    subscribed: Callable[[dict[str, Any]], None]

    async def open(self) -> None:
        """Connect, authenticate and subscribe.

        Raises:
            StreamRefusedError: the server does not let us in.
            MalformedFrameError: it is not Alpaca's.
            OSError, TimeoutError, websockets.WebSocketException: there is no connection.
        """
        with _understood():
            try:
                await asyncio.wait_for(self._start_ws(), OPEN_SECONDS)
            except (msgpack.UnpackException, UnicodeDecodeError):
                raise
            except ValueError as error:
                raise StreamRefusedError.saying(str(error)) from error
        await self._send_subscribe_msg()
        self._running = True

    async def listen(self) -> None:
        """Hand over what comes, until the connection ends.

        Raises:
            StreamRefusedError: the server ends it with a reason.
            MalformedFrameError: a frame is not Alpaca's.
            websockets.WebSocketException: it ended.
        """
        with _understood():
            await self._consume()

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        kind = msg.get("T")
        if kind in ("b", "u", "s"):
            self.hear(msg)
        elif kind == "error":
            raise StreamRefusedError(int(msg.get("code") or 0), str(msg.get("msg")))
        elif kind == "subscription":
            self.subscribed(msg)


class _Crypto(_Listening, CryptoDataStream):
    pass


class _Stocks(_Listening, StockDataStream):
    pass


def live_stream(
    settings: Settings, spec: FeedSpec, hear: Hear, subscribed: Callable[[dict[str, Any]], None], statuses: bool
) -> _Listening:
    """A connection to be opened: `hear` gets every bar and updated bar of the feed's symbols as Alpaca sent it.

    With `statuses` their trading statuses too, which stocks alone have.

    Raises:
        AlpacaConfigError: the address or the keys are not fit to be used.
    """
    pair = keys(settings)
    if pair is None:
        raise AlpacaConfigError("Alpaca's stream needs a key: set APCA_API_KEY_ID and APCA_API_SECRET_KEY")
    kind = _Crypto if spec.asset_class == "crypto" else _Stocks
    stream = kind(*pair, raw_data=True, url_override=endpoint(settings, spec), websocket_params=dict(_SOCKET))
    stream.hear = hear
    stream.subscribed = subscribed
    _subscribe(stream, spec.symbols, statuses)
    return stream


def alpaca_feed(spec: FeedSpec) -> str | None:
    """Whose trades the stream is of; REST is to be asked for the same. None: crypto has but one."""
    return None if spec.asset_class == "crypto" else spec.alpaca_feed or "iex"


def endpoint(settings: Settings, spec: FeedSpec) -> str:
    """The websocket's address for a feed.

    Raises:
        AlpacaConfigError: it is no ws(s) address, or would show the keys on the way.
    """
    if settings.apca_api_stream_url:
        base = settings.apca_api_stream_url
    elif settings.alpaca_url.rstrip("/") == ALPACA_DATA_URL:
        base = ALPACA_STREAM_URL
    else:
        base = settings.alpaca_url.replace("http", "ws", 1)
    if urlsplit(base).scheme not in ("ws", "wss"):
        raise AlpacaConfigError(f"APCA_API_STREAM_URL is to be an address such as {ALPACA_STREAM_URL}")
    check_address(base.replace("ws", "http", 1), has_keys=True, setting="APCA_API_STREAM_URL")
    path = "/v1beta3/crypto/us" if spec.asset_class == "crypto" else f"/v2/{alpaca_feed(spec)}"
    return base.rstrip("/") + path


@contextmanager
def _understood() -> Iterator[None]:
    """What alpaca-py raises where a frame is no msgpack, or no list of messages."""
    try:
        yield
    except (msgpack.UnpackException, ValueError, TypeError, LookupError, AttributeError) as error:
        raise MalformedFrameError(
            f"a frame is not of Alpaca's protocol ({type(error).__name__}: {str(error)[:100]})"
        ) from error


def _subscribe(stream: Any, symbols: Iterable[str], statuses: bool) -> None:
    async def unused(_message: Any) -> None:
        """alpaca-py subscribes to what has a handler; `_dispatch` is before it."""

    stream.subscribe_bars(unused, *symbols)
    stream.subscribe_updated_bars(unused, *symbols)
    if statuses:
        stream.subscribe_trading_statuses(unused, *symbols)
