import logging

import pytest

from crypto_platform.ingestion import progress


def test_a_run_s_log_tells_every_ten_seconds_how_far_a_stage_is(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([0.0, 4.0, 11.0, 15.0, 21.5])
    heard = []
    with caplog.at_level(logging.INFO), progress.listening(lambda *event: heard.append(event)):
        tell = progress.reporter("extract", logging.getLogger("run"), clock=lambda: next(clock))
        for days in (40, 110, 150, 215):
            tell(days, 365, days * 1440)
    assert [record.message for record in caplog.records] == [
        "extract: 110 of 365 days, 158,400 bars, 14,400 bars/s, about 26 s left",
        "extract: 215 of 365 days, 309,600 bars, 14,400 bars/s, about 15 s left",
    ]
    # A terminal hears all of it.
    assert heard[0] == ("extract", 40, 365, "days", 57_600)
    assert len(heard) == 4


def test_before_the_first_day_nobody_knows_how_long_it_takes() -> None:
    assert progress.line("load", 0, 6, "hops", 0, 12.0) == "load: 0 of 6 hops, 0 bars, 0 bars/s"
