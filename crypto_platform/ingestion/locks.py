"""Who works on a topic's ledger on this machine: locks that the kernel drops with their holder.

They keep loads of one machine from racing each other; between machines the recorded offsets decide, and the load that
comes second fails cleanly (`ConcurrentLoadError`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_platform.market import bars
from crypto_platform.settings import Settings


@contextmanager
def loading(settings: Settings, feed: str) -> Iterator[None]:
    """Hold the feed's loads; waits for the load that runs."""
    with _file(settings, feed, "load").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def following(settings: Settings, feed: str) -> Iterator[bool]:
    """Be the one that follows the feed's topic, for as long as the block; False: somebody else is."""
    with _file(settings, feed, "follow").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_followed(settings: Settings, feed: str) -> bool:
    """Whether somebody follows the feed's topic now."""
    with following(settings, feed) as free:
        return not free


def _file(settings: Settings, feed: str, what: str) -> Path:
    path = settings.crypto_platform_home / "locks" / f"{bars.topic(bars.check_feed(feed))}.{what}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
