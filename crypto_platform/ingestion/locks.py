"""Who works on a topic's ledger, or on another thing, on this machine: locks that the kernel drops with their holder.

Those of a topic keep loads of one machine from racing each other; between machines the recorded offsets decide, and the
load that comes second fails cleanly (`ConcurrentLoadError`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_platform.settings import Settings


@contextmanager
def loading(settings: Settings, topic: str) -> Iterator[None]:
    """Hold the topic's loads; waits for the load that runs."""
    with _file(settings, f"{topic}.load").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def following(settings: Settings, topic: str) -> Iterator[bool]:
    """Be the one that follows the topic, for as long as the block; False: somebody else is."""
    with holding(settings, f"{topic}.follow") as mine:
        yield mine


def is_followed(settings: Settings, topic: str) -> bool:
    """Whether somebody follows the topic now."""
    with following(settings, topic) as free:
        return not free


@contextmanager
def holding(settings: Settings, name: str) -> Iterator[bool]:
    """Hold the lock of that name for as long as the block; False: somebody else does."""
    with _file(settings, name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _file(settings: Settings, name: str) -> Path:
    path = settings.crypto_platform_home / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
