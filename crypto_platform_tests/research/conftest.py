"""One warehouse, loaded and built, for all that reads."""

import socket
from collections.abc import Iterator

import pytest

from crypto_platform.research import MarketData
from crypto_platform_tests.dbt_project.warehouse import Warehouse


@pytest.fixture(scope="module")
def market(researched: Warehouse) -> Iterator[MarketData]:
    with MarketData(researched.settings) as data:
        yield data


@pytest.fixture
def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
