"""Two minutes of the soak, in the suite; `make soak` is the long one."""

from pathlib import Path

import pytest

from crypto_platform_tests.stream.soak import soak

pytestmark = pytest.mark.sandbox

MINUTES = 2


@pytest.mark.timeout(1200)
def test_the_ledger_does_not_show_what_happened_on_the_way(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = soak(MINUTES, tmp_path / "home", told.append)
    assert outcome.wrong == [], outcome.line
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.bars > 1000
