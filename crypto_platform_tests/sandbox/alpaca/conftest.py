"""The server over the shipped recordings and over simulated bars."""

from collections.abc import Iterator

import pytest

from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import PROJECT_ROOT
from crypto_platform_tests.connectors.alpaca.conftest import Server

RECORDINGS = PROJECT_ROOT / "recordings"


@pytest.fixture(scope="package")
def recorded_url() -> Iterator[str]:
    with running(RECORDINGS, False, "--stream-speed", "600", "--late-trades", "0.5") as url:
        yield url


@pytest.fixture(scope="package")
def simulated_url() -> Iterator[str]:
    with running(simulated=True) as url:
        yield url


@pytest.fixture
def server(recorded_url: str) -> Iterator[Server]:
    server = Server(recorded_url)
    yield server
    server.clear()
