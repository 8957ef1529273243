"""One warehouse, loaded and built, for all that reads."""

import socket
from collections.abc import Callable, Iterator

import pytest

from crypto_platform.research import MarketData
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.research.known import Known, told

READ = ("fct_bars_1d_adjusted", "fct_bars_5m", "fct_bars_15m", "fct_bars_1h", "fct_gaps", "dim_universe_members")
VERSIONS = ("fct_bar_versions", "fct_corporate_action_versions")


@pytest.fixture(scope="session")
def known() -> Known:
    return told()


@pytest.fixture(scope="session")
def warehouse(new_warehouse: Callable[[str], Warehouse], known: Known) -> Warehouse:
    made = new_warehouse("RESEARCH")
    known.load(made)
    chosen = [f"+{model}" for model in (*READ, *VERSIONS, "dim_symbols")]
    made.dbt("build", "--select", *chosen, "--exclude-resource-type", "test", "unit_test")
    return made


@pytest.fixture(scope="session")
def market(warehouse: Warehouse) -> Iterator[MarketData]:
    with MarketData(warehouse.settings) as data:
        yield data


@pytest.fixture
def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
