"""How far a stage of a run is, told to whoever listens: a terminal's progress bar, and the run's log in the UI."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int, str, int], None]
# Often enough to see that a run lives, seldom enough for the log of one that takes hours.
SECONDS_BETWEEN_LINES = 10.0

_listener: Listener | None = None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send this process's progress to `listener(stage, done, in all, unit of these, bars so far)`."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def reporter(
    stage: str, log: logging.Logger, unit: str = "days", clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int, int], None]:
    """What a stage calls with (done, in all, bars so far); a line of it goes to `log` every ten seconds."""
    began = told = clock()

    def report(done: int, total: int, bars: int) -> None:
        nonlocal told
        if _listener:
            _listener(stage, done, total, unit, bars)
        now = clock()
        if now - told >= SECONDS_BETWEEN_LINES:
            told = now
            log.info(line(stage, done, total, unit, bars, now - began))

    return report


def line(stage: str, done: int, total: int, unit: str, bars: int, seconds: float) -> str:
    """`publish: 120 of 365 days, 172,800 bars, 41,000 bars/s, about 9 s left` after `seconds` of it."""
    left = f", about {seconds * (total - done) / done:,.0f} s left" if done else ""
    return f"{stage}: {done:,} of {total:,} {unit}, {bars:,} bars, {bars / seconds:,.0f} bars/s{left}"
