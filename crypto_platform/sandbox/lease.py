"""Who uses the sandbox: every user holds a shared lock on one file; the kernel drops it when the user dies.

The reaper, a program beside the services (``python -m crypto_platform.sandbox.lease FILE``), waits for the
exclusive lock. Once it has that nobody uses the sandbox any more, and it has supervisord stop everything.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crypto_platform.sandbox.parent_death import end_with_parent


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` locked; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Lease:
    """A user's shared lock on `path`; taken when made, which waits while the sandbox is being stopped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Whether no other user is left. True keeps new users out until `release`."""
        if self._try(fcntl.LOCK_EX):
            return True
        # A failed upgrade has dropped the shared lock. If it cannot be had again, somebody is stopping the
        # sandbox: the one who asks is among the last.
        return not self._try(fcntl.LOCK_SH)

    def release(self) -> None:
        self._file.close()

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def main() -> None:
    """Wait until the last lease is gone, then end supervisord, which ends its programs, this one last."""
    end_with_parent()
    with Path(sys.argv[1]).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()


if __name__ == "__main__":
    main()
