"""New offsets into the ledger within seconds: the batch's own load, again and again, with what it needs kept open."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.backoff import seconds_after
from crypto_platform.connectors.kafka.admin import EndOffsets, TopicError, TopicMissingError
from crypto_platform.connectors.snowflake import schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion import offsets, topic_load
from crypto_platform.ingestion.locks import following
from crypto_platform.ingestion.offsets import ConcurrentLoadError
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.settings import Settings
from crypto_platform.streaming.alerting import EVERY_SECONDS, Teller, Trouble
from crypto_platform.streaming.metrics import LoaderMetrics, serving

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession
    from snowflake.connector import SnowflakeConnection

log = logging.getLogger(__name__)

RUN_ID = "loader"
POLL_SECONDS = 0.1
# What is lost stays lost until a person republishes the topic.
LOST_SECONDS = 60.0
# Messages that wait for longer than an interval and this are told, whatever holds them up: a load that hangs fails with
# nothing.
LONGEST_LAG = 60.0
# Sessions that nothing was loaded with for so long are ended.
LONGEST_IDLE = 900.0
# Staged files are gone with Snowflake's session, and the plans that Spark's server keeps with its own.
LOADS_A_SESSION = 500

Loaded = Callable[[str, topic_load.LoadReport], None]


class Loader:
    """Follows topics of `feeds`, given with the datasets to follow, a thread each.

    `loaded` is told the feed and the report of every load that brought something.
    """

    def __init__(
        self,
        settings: Settings,
        feeds: Mapping[str, Iterable[Dataset]],
        loaded: Loaded = lambda feed, report: None,
    ) -> None:
        self.metrics = LoaderMetrics()
        self._settings = settings
        self._followers = [
            _Follower(settings, feed, dataset, self.metrics, loaded)
            for feed, datasets in feeds.items()
            for dataset in datasets
        ]

    def run(self, stop: threading.Event) -> None:
        """Load what comes until `stop` is set; a load that runs then is finished.

        Raises:
            OSError: the port of the metrics is taken.
        """
        settings = self._settings
        with serving(settings.loader_port, self.metrics.registry, self.health, settings.listen_address) as port:
            topics = ", ".join(follower.topic for follower in self._followers)
            log.info("following %s; metrics and health on port %d", topics, port)
            threads = [
                threading.Thread(target=follower.run, args=(stop,), name=follower.name) for follower in self._followers
            ]
            for thread in threads:
                thread.start()
            self._alert(stop)
            for thread in threads:
                thread.join()

    def _alert(self, stop: threading.Event) -> None:
        """Tell what does not get loaded, until `stop` is set."""
        teller = Teller(self._settings, "loader")
        while not stop.is_set():
            try:
                teller.observe(
                    [
                        Trouble(
                            follower.name,
                            "load lag",
                            f"what is on {follower.topic} does not get into RAW: {problem}",
                            feed=follower.feed,
                            impact="the ledger and the live views stand still",
                            remediation="crypto-platform doctor",
                        )
                        for follower in self._followers
                        if (problem := follower.problem) and not follower.has_no_topic
                    ]
                )
            except Exception:
                log.exception("alerts could not be delivered")
            stop.wait(EVERY_SECONDS)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether no feed is in trouble, and the particulars."""
        well = all(follower.problem is None or follower.has_no_topic for follower in self._followers)
        return well, {"feeds": {follower.name: follower.health() for follower in self._followers}}


class Pace:
    """One load in each `interval` of the clock (seconds), the same for all topics: a warehouse wakes once for them."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._loaded_in = -1

    def is_due(self, now: float) -> bool:
        """Whether nothing was loaded in the interval that `now` (epoch seconds) lies in."""
        return not self._interval or now // self._interval > self._loaded_in

    def note(self, now: float) -> None:
        """Something was loaded."""
        if self._interval:
            self._loaded_in = int(now // self._interval)


class _Follower:
    """One topic of a feed into its ledger."""

    def __init__(self, settings: Settings, feed: str, dataset: Dataset, metrics: LoaderMetrics, loaded: Loaded) -> None:
        self.feed = feed
        self.topic = dataset.topic(feed)
        # A feed's bars go by its name.
        self.name = feed if dataset is BARS else f"{feed} {dataset.name}"
        self._settings = settings
        self._dataset = dataset
        self._metrics = metrics
        self._loaded = loaded
        self._kept = _Kept(settings)
        self._ends = EndOffsets(settings)
        self._pace = Pace(settings.loader_interval)
        self._problem: str | None = None
        self._failed_with: type[Exception] | None = None
        # When it was first seen that something is on the topic that is not in the ledger.
        self._behind_since: float | None = None
        self._waiting = 0
        self._last_load: datetime | None = None
        self._seconds: deque[float] = deque(maxlen=100)

    def health(self) -> dict[str, Any]:
        """The feed's state in plain values."""
        return {
            "problem": self.problem,
            "last_load": self._last_load and self._last_load.isoformat(),
            "messages_waiting": self._waiting,
            "seconds_a_load": round(sorted(self._seconds)[len(self._seconds) // 2], 3) if self._seconds else None,
        }

    @property
    def problem(self) -> str | None:
        """Why the ledger stands still; None: it does not."""
        behind = self._behind_since
        waited = time.monotonic() - behind if behind is not None else 0.0
        if self._problem is None and waited > LONGEST_LAG + self._settings.loader_interval:
            return f"messages on the topic have waited for {waited:.0f} s"
        return self._problem

    @property
    def has_no_topic(self) -> bool:
        """Whether nobody has published anything yet, which is no trouble: a stock may not be halted for months."""
        return self._failed_with is TopicMissingError

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; beside another follower, wait for its end."""
        while not stop.is_set():
            with following(self._settings, self.topic) as mine:
                if mine:
                    self._follow(stop)
            self._problem, self._failed_with = None, None
            if not stop.is_set():
                self._problem = "another loader follows this topic"
            stop.wait(1)
        self._kept.close()

    def _follow(self, stop: threading.Event) -> None:
        failures = 0
        done: dict[int, int] | None = None
        # A first load looks whether the topic is still the one that the recorded offsets are of.
        is_first = True
        self._behind_since = None
        while not stop.is_set():
            try:
                ends = self._ends.of(self.feed, self._dataset)
                if self._failed_with and issubclass(self._failed_with, TopicError):
                    self._problem, self._failed_with = None, None
                if done is None:
                    done = self._recorded()
                self._see(ends, done)
                if (ends == done and not is_first) or not self._pace.is_due(time.time()):
                    self._kept.end_idle()
                    stop.wait(POLL_SECONDS)
                    continue
                report = self._load()
                if report.load_id:
                    self._pace.note(time.time())
                done = {p: report.offsets.get(p, (0, end))[1] for p, end in ends.items()}
                failures, is_first = 0, False
                self._problem, self._failed_with = None, None
                self._see(ends, done)
            except ConcurrentLoadError as error:
                self._count("lost a race", error)
                stop.wait(0.5)
            except topic_load.LostMessagesError as error:
                self._count("messages lost", error)
                stop.wait(LOST_SECONDS)
            except TopicError as error:
                # Nothing was published yet, or Kafka is away: neither is Snowflake's or Spark's fault.
                self._count("no topic", error)
                stop.wait(1)
            except Exception as error:
                # Whatever it was, a load either is in the ledger or is not: begin anew with new connections.
                failures += 1
                self._count("failed", error)
                self._kept.close()
                stop.wait(seconds_after(failures, first=2.0))

    def _recorded(self) -> dict[int, int]:
        """How far the ledger has come."""
        with self._kept.connect() as connection:
            schema.ensure_schema(connection, self.feed, self._dataset)
            return offsets.recorded(connection, self.feed, self.topic).next_offsets

    def _see(self, ends: dict[int, int], done: dict[int, int]) -> None:
        """Note how much waits, and since when."""
        self._waiting = sum(max(0, end - done.get(partition, 0)) for partition, end in ends.items())
        self._metrics.lag.labels(self.feed, self._dataset.name).set(self._waiting)
        if not self._waiting:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()

    def _load(self) -> topic_load.LoadReport:
        began = time.monotonic()
        self._kept.renew()
        report = topic_load.load(
            self._settings, self.feed, RUN_ID, self._kept.connect, spark=self._kept.spark, dataset=self._dataset
        )
        if report.load_id is None:
            return report
        self._last_load = datetime.now(UTC)
        self._seconds.append(time.monotonic() - began)
        labels = self.feed, self._dataset.name
        self._metrics.loads.labels(*labels, "done").inc()
        for outcome in ("loaded", "unchanged", "rejected"):
            self._metrics.messages.labels(*labels, outcome).inc(getattr(report, outcome))
        for hop, seconds in report.seconds.items():
            self._metrics.seconds.labels(*labels, hop).observe(seconds)
        log.info(
            "%s: %d messages in %.2f s: %d new, %d unchanged, %d rejected",
            self.name,
            report.messages,
            self._seconds[-1],
            report.loaded,
            report.unchanged,
            report.rejected,
        )
        self._loaded(self.feed, report)
        return report

    def _count(self, outcome: str, error: Exception) -> None:
        self._metrics.loads.labels(self.feed, self._dataset.name, outcome).inc()
        problem = f"{type(error).__name__}: {str(error)[:500]}"
        if problem != self._problem:
            log.warning("%s: %s", self.name, problem)
        self._problem, self._failed_with = problem, type(error)


class _Kept:
    """A connection and a Spark session that outlive a load, and end with the first failure."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._connection: SnowflakeConnection | None = None
        self._spark: SparkSession | None = None
        self._loads = 0
        self._used_at = time.monotonic()

    @contextmanager
    def connect(self) -> "Iterator[SnowflakeConnection]":
        if self._connection is None:
            self._connection = self._stack.enter_context(connect(self._settings, "load"))
        try:
            yield self._connection
        except BaseException:
            self.close()
            raise

    def spark(self) -> "SparkSession":
        from crypto_platform.connectors.spark import session

        if self._spark is None:
            self._spark = session(self._settings)
        return self._spark

    def renew(self) -> None:
        """Before each load: end both sessions when they have served enough of them."""
        if self._loads == LOADS_A_SESSION:
            self.close()
        self._loads += 1
        self._used_at = time.monotonic()

    def end_idle(self) -> None:
        """End both when nothing was loaded for long."""
        if self._loads and time.monotonic() - self._used_at > LONGEST_IDLE:
            self.close()

    def close(self) -> None:
        """Let go of both; the next use opens them again."""
        self._loads = 0
        stack, self._stack, self._connection = self._stack, ExitStack(), None
        with suppress(Exception):
            stack.close()
        self._stop_spark()

    def _stop_spark(self) -> None:
        spark, self._spark = self._spark, None
        if spark is not None:
            with suppress(Exception):
                spark.stop()
