"""The watchdog: a process beside Dagster that tells when Dagster itself cannot, and delivers what others raised."""

import logging
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from crypto_platform.alerts.book import Book
from crypto_platform.settings import Settings
from crypto_platform.watch.processes import Processes

SOURCE = "watchdog"
INTERVAL_SECONDS = 3.0
# A pause that only a machine that slept can explain: nothing has had the time to come back yet.
SLEPT = timedelta(seconds=60)

logger = logging.getLogger("crypto_platform.watchdog")


def watch(settings: Settings) -> None:
    """Look at Dagster's processes and deliver alerts every few seconds, until the process is ended."""
    book = Book(settings)
    last = datetime.now(UTC)
    processes = Processes(settings, last)
    with dg.DagsterInstance.get() as instance:
        while True:
            now = datetime.now(UTC)
            if now - last > SLEPT:
                processes = Processes(settings, now)
            last = now
            try:
                found = processes.look(instance, now)
                book.observe(SOURCE, found.wrong, found.undecided)
                book.deliver()
            except SQLAlchemyError as error:
                # A storage that is away comes back; ending would leave nobody to tell of it.
                logger.warning("a storage does not answer: %s", type(error).__name__)
            time.sleep(INTERVAL_SECONDS)
