"""One Superset for the tests, over the recordings."""

from collections.abc import Iterator

import pytest

from crypto_platform.connectors.superset import code, home, server
from crypto_platform.connectors.superset.client import connect
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse


@pytest.fixture(scope="session")
def superset(recorded: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Superset that was empty until the code was brought in; the settings to reach it."""
    own = {"crypto_platform_home": tmp_path_factory.mktemp("superset"), "superset_port": 0}
    settings = recorded.settings.model_copy(update=own)
    if not home.installed(settings).exists():
        pytest.skip("Superset is not installed: `make test` and `make dashboard` do it")
    server.prepare(settings)
    with supervise.sandbox(settings, {"superset"}) as effective:
        with connect(effective) as client:
            code.put(client, code.read())
        yield effective
