"""Which of a feed's symbols are halted, since when, as the stream tells it."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from crypto_platform.streaming import state


class Halts:
    """The halted symbols of `symbols`, kept in `file` for the next start; all times are UTC.

    `since`: when each halt began; `ended`: when the last moment was over at which all of them were halted. A resumption
    that nobody heard is made good by the first bar that began after the halt did.
    """

    def __init__(self, symbols: Iterable[str], file: Path, now: datetime) -> None:
        self._symbols = set(symbols)
        self._file = file
        self._told: dict[str, datetime] = {}
        self.since: dict[str, datetime] = {}
        self.ended: datetime | None = None
        for symbol, at in state.read(file).items():
            with suppress(ValueError, TypeError):
                # A file of a replay may be of another time.
                if symbol in self._symbols and datetime.fromisoformat(at) <= now:
                    self.since[symbol] = datetime.fromisoformat(at)

    @property
    def are_all(self) -> bool:
        """Whether no symbol trades, so that no bar is to come."""
        return self.since.keys() == self._symbols

    def status(self, symbol: str, at: datetime, halted: bool, now: datetime) -> bool:
        """Take in that the symbol is halted, or trades again, from `at` on; whether that is news."""
        if at < self._told.get(symbol, at):
            return False
        self._told[symbol] = at
        if not halted:
            return self._end(symbol, now)
        if symbol in self.since:
            return False
        self.since[symbol] = at
        self._keep()
        return True

    def traded(self, symbol: str, start: datetime, now: datetime) -> bool:
        """Take in a bar that began at `start`; whether it ends a halt."""
        since = self.since.get(symbol)
        return since is not None and start >= since and self._end(symbol, now)

    def _end(self, symbol: str, now: datetime) -> bool:
        if symbol not in self.since:
            return False
        if self.are_all:
            self.ended = now
        del self.since[symbol]
        self._keep()
        return True

    def _keep(self) -> None:
        state.replace(self._file, {symbol: at.isoformat() for symbol, at in self.since.items()})
