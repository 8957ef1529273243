"""The watchdog: a process beside Dagster that tells when Dagster itself cannot, and delivers what others raised."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg

from crypto_platform.alerting.manager import AlertManager
from crypto_platform.monitoring.processes import Processes, Supervisor
from crypto_platform.settings import Settings

SOURCE = "watchdog"
INTERVAL_SECONDS = 3.0
# A file in the home that is touched after each turn: how whoever watches the watchdog knows that it goes on.
HEARTBEAT = "watchdog.heartbeat"
# A pause that only a machine that slept can explain: nothing has had the time to come back yet.
SLEPT = timedelta(seconds=60)

logger = logging.getLogger("crypto_platform.watchdog")


def watch(settings: Settings, supervisor: Supervisor) -> None:
    """Look at Dagster's processes and deliver alerts every few seconds, until the process is ended."""
    instance = cache(dg.DagsterInstance.get)
    rested = datetime.now(UTC)
    processes = Processes(settings, rested, supervisor)
    while True:
        now = datetime.now(UTC)
        if now - rested > SLEPT:
            processes = Processes(settings, now, supervisor)
        turn(settings, processes, instance, now)
        settings.crypto_platform_home.mkdir(parents=True, exist_ok=True)
        (settings.crypto_platform_home / HEARTBEAT).touch()
        # Without the look itself: it takes long when a storage is away.
        rested = datetime.now(UTC)
        time.sleep(INTERVAL_SECONDS)


def turn(settings: Settings, processes: Processes, instance: Callable[[], dg.DagsterInstance], now: datetime) -> None:
    """Look once and deliver once. What fails is logged: ending would leave nobody to tell of it."""
    with _going_on("look"):
        found = processes.look(instance, now)
        AlertManager(settings).observe(SOURCE, found.wrong, found.undecided)
    with _going_on("deliver"):
        AlertManager(settings).deliver()


@contextmanager
def _going_on(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # By its name alone: a driver's message may have the address with its password.
        logger.warning("could not %s: %s", what, type(error).__name__)
