"""Fixtures of the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings

FREE_PORTS = {
    "sandbox_alpaca_port": 0,
    "sandbox_kafka_port": 0,
    "sandbox_kafka_controller_port": 0,
    "sandbox_spark_port": 0,
    "sandbox_snowflake_port": 0,
    "dagster_ui_port": 0,
}


@pytest.fixture(scope="session")
def sandbox_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of an embedded default of the suite's own: a fresh home, free ports; nothing is started."""
    home = tmp_path_factory.mktemp("home")
    return Settings(crypto_platform_home=home, jvm_jars=Settings().jars, **FREE_PORTS)


@pytest.fixture(scope="session")
def sandbox(sandbox_settings: Settings) -> Iterator[Settings]:
    """The embedded Alpaca, Kafka, Spark and Snowflake, up for the whole session; the settings to reach them."""
    with supervise.sandbox(sandbox_settings) as effective:
        yield effective


@pytest.fixture
def fresh_settings(tmp_path: Path) -> Settings:
    """Settings of an embedded default of one test's own; nothing is started."""
    return Settings(crypto_platform_home=tmp_path / "home", jvm_jars=Settings().jars, **FREE_PORTS)
