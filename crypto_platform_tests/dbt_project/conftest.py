"""The embedded Snowflake alone, and databases in it."""

from collections.abc import Callable, Iterator

import pandas as pd
import pytest

from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording


@pytest.fixture(scope="session")
def snowflake(sandbox_settings: Settings) -> Iterator[Settings]:
    """Settings of a running embedded Snowflake."""
    with supervise.sandbox(sandbox_settings, {"snowflake"}) as effective:
        yield effective


@pytest.fixture(scope="session")
def new_warehouse(snowflake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Warehouse]:
    """Make an empty warehouse in a database of the given name."""

    def make(database: str) -> Warehouse:
        settings = snowflake.model_copy(update={"snowflake_database": database})
        warehouse = Warehouse(settings, tmp_path_factory.mktemp(database))
        warehouse.create()
        return warehouse

    return make


@pytest.fixture(scope="session")
def recorded(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Every recording loaded and built; for reading only."""
    warehouse = new_warehouse("RECORDED")
    warehouse.load("crypto", recording("BTC-USD_1Min"), pd.Timestamp("2026-06-01"))
    for symbol in ("SPY", "AAPL", "NVDA"):
        warehouse.load("us_equity", recording(f"{symbol}_15Min"), pd.Timestamp("2026-06-01"))
    warehouse.dbt("build")
    return warehouse
