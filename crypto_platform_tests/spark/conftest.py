"""A Spark session for the tests of the hop."""

from collections.abc import Iterator
from typing import Any

import pytest

from crypto_platform.settings import Settings
from crypto_platform.spark.session import session


@pytest.fixture(scope="session")
def spark(sandbox: Settings) -> Iterator[Any]:
    opened = session(sandbox)
    yield opened
    opened.stop()
