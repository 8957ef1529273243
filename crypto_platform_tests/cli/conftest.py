"""What the commands' tests have: settings that are the process's for a test, and what the alerts' tests have."""

import os
from collections.abc import Callable, Iterator

import pytest

from crypto_platform.settings import Settings, settings, use
from crypto_platform_tests.alerting.conftest import alert_settings as alert_settings
from crypto_platform_tests.alerting.conftest import http as http


@pytest.fixture
def using(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Settings], Settings]]:
    """Make settings those of this process until the test ends; returns them as the process has them."""
    # `use` writes them there.
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def chosen(wanted: Settings) -> Settings:
        use(wanted)
        return settings()

    yield chosen
    settings.cache_clear()
