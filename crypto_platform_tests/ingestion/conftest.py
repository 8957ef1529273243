"""A Spark session, and the Alpaca sandbox that its own tests have."""

from collections.abc import Iterator
from typing import Any

import pytest

from crypto_platform.connectors.spark import session
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.alpaca.conftest import new_lake as new_lake
from crypto_platform_tests.connectors.alpaca.conftest import one_server as one_server
from crypto_platform_tests.connectors.alpaca.conftest import server as server


@pytest.fixture(scope="session")
def spark(sandbox: Settings) -> Iterator[Any]:
    opened = session(sandbox)
    yield opened
    opened.stop()
