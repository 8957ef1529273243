"""The live path in the UI: prices and lag are noted while bars come, and nothing is asked otherwise."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.orchestration.asset_keys import LIVE_PRICES
from crypto_platform.orchestration.feeds.live import evaluate, live_sensor
from crypto_platform.sandbox.ports import free_ports
from crypto_platform.settings import Settings
from crypto_platform.streaming.metrics import serving
from crypto_platform_tests.dbt_project.warehouse import Warehouse


@pytest.fixture
def state() -> dict[str, Any]:
    return {"problem": None, "last_load": None, "messages_waiting": 7, "seconds_a_load": 0.4}


@pytest.fixture
def settings(new_warehouse: Callable[[str], Warehouse], state: dict[str, Any]) -> Iterator[Settings]:
    """Of a warehouse of its own, with a loader's health that tells `state`."""
    base = new_warehouse("OBSERVED").settings
    with serving(0, CollectorRegistry(), lambda: (False, {"feeds": {"crypto": state}})) as port:
        yield base.model_copy(update={"loader_url": f"http://127.0.0.1:{port}", "sandbox_simulated": True})


def tell(settings: Settings, *prices: tuple[str, float]) -> None:
    with connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS MARTS")
        cursor.execute(
            "CREATE OR REPLACE TABLE MARTS.LIVE_PRICES (feed VARCHAR, symbol VARCHAR, last_price FLOAT, last_price_at "
            "TIMESTAMP_NTZ, price_age_seconds INTEGER, change_today FLOAT, bars_today INTEGER, source VARCHAR)"
        )
        cursor.executemany(
            "INSERT INTO MARTS.LIVE_PRICES VALUES "
            "('crypto', %s, %s, '2026-03-01 12:00'::TIMESTAMP_NTZ, 3, NULL, 720, 'stream')",
            list(prices),
        )


def test_the_last_prices_move_in_the_metadata(settings: Settings, state: dict[str, Any]) -> None:
    cursor = None
    for load, price in (("12:01", 70_000.5), ("12:02", 70_001.25)):
        state["last_load"] = load
        tell(settings, ("BTC/USD", price), ("ETH/USD", 2_000.0))
        told = evaluate(settings, cursor)
        assert isinstance(told, dg.SensorResult)
        (observed,) = told.asset_events
        assert isinstance(observed, dg.AssetObservation)
        assert observed.asset_key == LIVE_PRICES
        found = {name: value.value for name, value in observed.metadata.items()}
        assert found["last price of BTC/USD"] == price
        assert (found["age of BTC/USD, s"], found["messages of crypto that wait"], found["symbols"]) == (3, 7, 2)
        assert found["data"] == "simulated"
        assert [record.data["symbol"] for record in found["prices"].records] == ["BTC/USD", "ETH/USD"]  # type: ignore[union-attr]
        cursor = told.cursor
        again = evaluate(settings, cursor)
        assert isinstance(again, dg.SkipReason), "nothing was loaded in between"


def test_what_is_not_there_is_no_error(settings: Settings, state: dict[str, Any]) -> None:
    def said(of: Settings = settings) -> str:
        told = evaluate(of, None)
        assert isinstance(told, dg.SkipReason)
        return told.skip_message or ""

    assert "no loader" in said(settings.model_copy(update={"loader_url": None, "loader_port": free_ports(1)[0]}))
    assert "nothing was loaded" in said()
    state["last_load"] = "12:01"
    with connect(settings) as connection:
        connection.cursor().execute("DROP TABLE IF EXISTS MARTS.LIVE_PRICES")
    assert "not there yet" in said()


def test_it_runs_unless_it_is_switched_off() -> None:
    sensor = live_sensor()
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30
