"""The proxy before Spark Connect, with the rehearsal's own certificates, and gRPC as its client."""

import asyncio
import ssl
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from crypto_platform.sandbox.ports import free_ports
from crypto_platform.settings import LOOPBACK
from rehearsal import certificates
from rehearsal.certificates import Certificates
from rehearsal.tls_proxy import context, serve


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("tls"), "secret")


class Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda sent, context: sent[::-1])


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a gRPC server without TLS."""
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Echo()])
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    yield port
    server.stop(None)


def call(port: int, roots: bytes, sent: bytes) -> bytes:
    with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(roots)) as channel:
        answer: bytes = channel.unary_unary("/echo/call")(sent, timeout=10)
        return answer


async def through(made: Certificates, to_port: int, roots: bytes, sent: bytes) -> bytes:
    (port,) = free_ports(1)
    server = await serve(port, to_port, context(made.certificate, made.key))
    async with server:
        return await asyncio.to_thread(call, port, roots, sent)


def test_grpc_goes_through(made: Certificates, echo: int) -> None:
    sent = bytes(range(256)) * 4_000
    assert asyncio.run(through(made, echo, made.authority.read_bytes(), sent)) == sent[::-1]


def test_another_authority_s_client_is_not_served(made: Certificates, echo: int, tmp_path: Path) -> None:
    other = certificates.make(tmp_path, "secret")
    with pytest.raises(grpc.RpcError) as raised:
        asyncio.run(through(made, echo, other.authority.read_bytes(), b"sent"))
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_server_that_is_not_there_ends_the_connection(made: Certificates) -> None:
    async def read() -> bytes:
        port, nobody = free_ports(2)
        server = await serve(port, nobody, context(made.certificate, made.key))
        async with server:
            trusting = ssl.create_default_context(cafile=made.authority)
            reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=trusting)
            found = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return found

    assert asyncio.run(read()) == b""


def test_keys_are_for_their_owner_alone(made: Certificates) -> None:
    assert {file.stat().st_mode & 0o077 for file in (made.key, made.key_store)} == {0}
