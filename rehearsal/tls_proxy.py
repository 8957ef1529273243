"""TLS before a server that has none, as Spark Connect: it ends TLS and passes the bytes on.

``python -m rehearsal.tls_proxy --port P --to-port Q --certificate FILE --key FILE``, on loopback.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Annotated

import typer

from crypto_platform.settings import LOOPBACK

_CHUNK = 65_536


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Of the server; gRPC's clients take no connection that HTTP/2 was not agreed for."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(certificate, key)
    made.set_alpn_protocols(["h2"])
    return made


async def serve(port: int, to_port: int, tls: ssl.SSLContext) -> asyncio.Server:
    """Listen on loopback; each connection gets one to `to_port`, and ends with it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection(LOOPBACK, to_port)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.ensure_future(_pass(reader, onward_writer)),
            asyncio.ensure_future(_pass(onward_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, onward_writer):
                end.close()

    return await asyncio.start_server(connected, LOOPBACK, port, ssl=tls)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


def main(
    port: Annotated[int, typer.Option()],
    to_port: Annotated[int, typer.Option()],
    certificate: Annotated[Path, typer.Option()],
    key: Annotated[Path, typer.Option()],
) -> None:
    async def run() -> None:
        server = await serve(port, to_port, context(certificate, key))
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    typer.run(main)
