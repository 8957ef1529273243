"""One run of the crypto feed on the suite's sandbox, for all that looks at what a run leaves."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from crypto_platform.cli.runs import MaterializationRequest, Run, materialize
from crypto_platform.settings import Settings, settings, use


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The process's settings, put back after the test."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    yield monkeypatch
    settings.cache_clear()


@pytest.fixture(scope="session")
def crypto_day_lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `crypto_day` tells its lineage."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="session")
def crypto_day(platform_settings: Settings, crypto_day_lineage: Path) -> Run:
    """The recorded Friday 2026-05-01 through every stage."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.setenv(name.upper(), "")
        use(platform_settings.model_copy(update={"openlineage_file": crypto_day_lineage}))
        run = materialize(MaterializationRequest("crypto", date(2026, 5, 1), date(2026, 5, 2)))
    settings.cache_clear()
    assert run.ok, str(run.errors)
    return run
