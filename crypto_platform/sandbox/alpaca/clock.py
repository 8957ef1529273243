"""The time that the stream lives in: the wall clock's, or a replay's."""

import asyncio
import time


class Clock:
    """Runs from `start` (ns since the epoch, UTC; None: now) at `speed` times the wall clock, and never past it.

    It starts when `begin` is first called and then goes on, whoever listens: like a market's.
    """

    def __init__(self, speed: float = 1.0, start: int | None = None) -> None:
        self.speed = speed
        self._start = start
        self._origin: int | None = None

    def begin(self) -> None:
        if self._origin is None:
            self._origin = time.monotonic_ns()
            self._start = time.time_ns() if self._start is None else self._start

    def now(self) -> int:
        """The time, ns since the epoch; before `begin` where it will begin."""
        if self._origin is None or self._start is None:
            return time.time_ns() if self._start is None else self._start
        passed = int((time.monotonic_ns() - self._origin) * self.speed)
        return min(self._start + passed, time.time_ns())

    async def until(self, moment: int) -> None:
        """Wait until `moment` (ns since the epoch) has come."""
        while (missing := moment - self.now()) > 0:
            await asyncio.sleep(max(missing / self.speed / 1e9, 0.001))
