"""Alpaca's rate limit, kept by all threads of a client together."""

import random
import threading
import time
from collections.abc import Callable, Mapping

# Alpaca counts by the minute; a reset further away is a clock that is wrong, here or there.
LONGEST_WINDOW = 60.0


class RateLimit:
    """How many calls are left until when, as the answers' `X-RateLimit-*` headers tell.

    https://docs.alpaca.markets/reference/stockbars: Remaining is the calls left, Reset the epoch second at
    which they are granted anew.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._remaining: int | None = None
        self._reset = 0.0

    def wait(self, stop: threading.Event) -> float:
        """Take one call, waiting until there is one or `stop` is set; returns the seconds waited."""
        began = time.monotonic()
        while (seconds := self._take()) > 0 and not stop.wait(seconds):
            pass
        return time.monotonic() - began

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer; headers that are missing or unreadable teach nothing."""
        try:
            remaining = int(headers["X-RateLimit-Remaining"])
            reset = float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return
        if status == 429:
            remaining = 0
        reset = min(reset, self._clock() + LONGEST_WINDOW)
        with self._lock:
            if reset > self._reset or self._remaining is None:
                self._remaining, self._reset = remaining, reset
            elif reset == self._reset:  # answers overtake one another: the lowest count is the latest
                self._remaining = min(remaining, self._remaining)

    def _take(self) -> float:
        """Seconds until a call may be tried again, 0 when one was taken; the jitter parts the threads."""
        with self._lock:
            now = self._clock()
            if self._remaining is None or now >= self._reset:
                self._remaining = None
                return 0.0
            if self._remaining > 0:
                self._remaining -= 1
                return 0.0
            return self._reset - now + random.uniform(0.01, 0.5)  # noqa: S311
