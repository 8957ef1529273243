"""The stream service: every feed's live stream into Kafka, in one process."""

import asyncio
import fcntl
import logging
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from crypto_platform.ingestion.spool import Message, Spool, folder
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.sessions import open_since
from crypto_platform.settings import Settings
from crypto_platform.streaming.alerting import EVERY_SECONDS, Teller, Trouble
from crypto_platform.streaming.clock import MarketClock
from crypto_platform.streaming.feed import LiveFeed
from crypto_platform.streaming.metrics import StreamMetrics, serving
from crypto_platform.streaming.outbox import Outbox

log = logging.getLogger(__name__)

# supervisord kills after 15 s; what is not in Kafka by then is on disk.
FLUSH_SECONDS = 8.0


class AlreadyRunningError(RuntimeError):
    """Another stream service works in this home."""


class Service:
    """The feeds, their outbox and their metrics; to be run once."""

    def __init__(self, settings: Settings, feeds: Mapping[str, FeedSpec]) -> None:
        self.metrics = StreamMetrics()
        self._settings = settings
        self._specs = feeds
        self._feeds: list[LiveFeed] = []
        self._outbox: Outbox | None = None

    async def run(self, stop: asyncio.Event) -> bool:
        """Stream until `stop` is set; whether everything that came is in Kafka.

        Raises:
            AlreadyRunningError: another service works in this home.
            OSError: the port of the metrics is taken.
        """
        with only_one(self._settings):
            clock = MarketClock(self._settings.alpaca_url)
            await asyncio.to_thread(clock.sync)
            for spec in self._specs.values():
                # The exchange's calendar takes a second to make.
                await asyncio.to_thread(open_since, spec.asset_class, clock.now())
            run_id = f"stream-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
            spool = Spool.open(self._settings)
            outbox = self._outbox = Outbox(self._settings, spool, run_id, self._confirmed, self._refused)
            self.metrics.spooled.set_function(lambda: spool.messages)
            self.metrics.spooled_bytes.set_function(lambda: spool.bytes)
            self._feeds = [
                LiveFeed(name, spec, self._settings, outbox, clock, self.metrics) for name, spec in self._specs.items()
            ]
            try:
                address = self._settings.listen_address
                with serving(self._settings.stream_port, self.metrics.registry, self.health, address) as port:
                    log.info("streaming %s; metrics and health on port %d", ", ".join(self._specs), port)
                    await self._until(stop)
            finally:
                flushed = await asyncio.to_thread(outbox.close, FLUSH_SECONDS)
        log.info("stopped; %s", "everything is in Kafka" if flushed else "what Kafka has not confirmed is on disk")
        return flushed

    async def _alert_forever(self) -> None:
        """Tell of silence and of what waits; that telling fails is no reason to stop streaming."""
        teller = Teller(self._settings, "stream")
        while True:
            try:
                await asyncio.to_thread(teller.observe, self._troubles())
            except Exception:
                log.exception("alerts could not be delivered")
            await asyncio.sleep(EVERY_SECONDS)

    def _troubles(self) -> list[Trouble]:
        found = [
            Trouble(
                feed.name,
                "stream silence",
                feed.problem or "the stream is not connected although the market is open",
                feed=feed.name,
                impact="bars come minutes late by REST, or not at all",
                remediation="crypto-platform doctor",
            )
            for feed in self._feeds
            if not feed.is_well
        ]
        if self._outbox and (problem := self._outbox.problem):
            found.append(
                Trouble(
                    "kafka",
                    "stream lag",
                    f"{self._outbox.spool.messages} bars wait on disk for Kafka: {problem}",
                    impact="nothing new reaches RAW",
                    remediation="crypto-platform doctor",
                )
            )
        return found

    async def _until(self, stop: asyncio.Event) -> None:
        running = [asyncio.create_task(feed.run(), name=feed.name) for feed in self._feeds]
        running.append(asyncio.create_task(self._alert_forever()))
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                # A feed never ends by itself: what it raises is an error of this program.
                task.result()
        finally:
            for task in (*running, stopping):
                task.cancel()
            await asyncio.gather(*running, stopping, return_exceptions=True)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether all feeds and Kafka are well, and the particulars."""
        problem = self._outbox.problem if self._outbox else None
        feeds = {feed.name: feed.health() for feed in self._feeds}
        spooled = self._outbox.spool.messages if self._outbox else 0
        well = problem is None and all(feed.is_well for feed in self._feeds)
        return well, {"feeds": feeds, "kafka": {"problem": problem, "waiting": spooled}}

    def _confirmed(self, message: Message, at: datetime) -> None:
        if message.source != "rest":
            self.metrics.publish_lag.labels(message.feed).observe((at - message.observed_at).total_seconds())

    def _refused(self, message: Message, _reason: str) -> None:
        self.metrics.refused.labels(message.feed).inc()


def run(settings: Settings, feeds: Mapping[str, FeedSpec]) -> bool:
    """Run the service until SIGTERM or SIGINT; whether everything that came is in Kafka.

    Raises:
        AlreadyRunningError: another service works in this home.
    """

    async def main() -> bool:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await Service(settings, feeds).run(stop)

    return asyncio.run(main())


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold the home's stream; the kernel lets go of it with the process."""
    path = folder(settings) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"another stream service works in {settings.crypto_platform_home}: Alpaca allows one connection a key"
            ) from None
        yield
