"""How far a stage of a run is, told to whoever listens: a terminal's progress bar, or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int, int], None]
_listener: Listener | None = None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send this process's progress to `listener(stage, days done, days in all, bars so far)`."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def reporter(stage: str) -> Callable[[int, int, int], None]:
    """What a stage calls with (days done, days in all, bars so far)."""

    def report(done: int, total: int, bars: int) -> None:
        if _listener:
            _listener(stage, done, total, bars)

    return report
