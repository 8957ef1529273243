"""A minute of the soak, in the suite; `make soak` is the long one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.market.feed_spec import feeds
from crypto_platform_tests.streaming import soak as judge
from crypto_platform_tests.streaming.soak import Outcome, soak

MINUTES = 1
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "lost", "wrong"),
    [
        ({}, 0, 0),
        # The batch has still to meet what was corrected, and what came after the last look.
        ({3: 9.0, 8: None}, 0, 0),
        ({1: None}, 1, 1),
        ({1: 9.0}, 0, 1),
    ],
)
def test_a_bar_that_only_the_batch_would_bring_is_lost(
    monkeypatch: pytest.MonkeyPatch, change: dict[int, float | None], lost: int, wrong: int
) -> None:
    times = [NOON + timedelta(minutes=n) for n in range(10)]
    truth = {("BTC/USD", f"{start:%Y-%m-%dT%H:%M:%SZ}"): (float(n),) for n, start in enumerate(times)}
    kept = {bar: change.get(n, value[0]) for n, (bar, value) in enumerate(truth.items())}
    ledger = {bar: (value,) for bar, value in kept.items() if value is not None}
    monkeypatch.setattr(judge, "feeds", lambda: {"crypto": feeds()["crypto"]})
    monkeypatch.setattr(judge, "_truth", lambda *_: truth)
    monkeypatch.setattr(judge, "_ledger", lambda *_: (ledger, 0))
    outcome = Outcome()
    nothing: Any = None
    judge._compare_live(nothing, nothing, [], {"crypto": times[8]}, [(times[3], times[4])], outcome)
    assert (outcome.lost, len(outcome.wrong)) == (lost, wrong)


@pytest.mark.sandbox
@pytest.mark.timeout(1200)
def test_the_ledger_does_not_show_what_happened_on_the_way(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = soak(MINUTES, tmp_path / "home", told.append)
    assert outcome.wrong == [], outcome.line
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.bars > 1000
