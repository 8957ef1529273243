"""What ends a connection, whatever the other end says."""

import asyncio
from typing import Any

import msgpack
import pytest
from websockets.legacy.server import serve

from crypto_platform.streaming.client import MalformedFrameError, live_stream
from crypto_platform.streaming.refusals import StreamRefusedError
from crypto_platform_tests.connectors.alpaca.conftest import settings_for
from crypto_platform_tests.streaming.conftest import crypto

WELCOME = [msgpack.packb([{"T": "success", "msg": said}]) for said in ("connected", "authenticated")]


async def talk(frames: list[Any]) -> None:
    """Connect to a server that says these frames, and listen."""

    async def say(socket: Any) -> None:
        for frame in frames:
            await socket.send(frame)
        await socket.wait_closed()

    async with serve(say, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        settings = settings_for(f"http://127.0.0.1:{port}")
        stream = live_stream(settings, crypto("BTC/USD"), lambda message: None, lambda told: None, False)
        try:
            await stream.open()
            await asyncio.wait_for(stream.listen(), 10)
        finally:
            await stream.close()


@pytest.mark.parametrize("frame", ["text", b"\xc1", b"\x93\x01", msgpack.packb(7), msgpack.packb([7])])
@pytest.mark.parametrize("welcomed", [0, 2])
def test_a_frame_that_is_not_alpacas_ends_the_connection_and_nothing_else(frame: Any, welcomed: int) -> None:
    with pytest.raises((MalformedFrameError, StreamRefusedError)):
        asyncio.run(talk([*WELCOME[:welcomed], frame]))
