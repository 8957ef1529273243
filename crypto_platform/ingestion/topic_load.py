"""The load: what a topic holds beyond the offsets that Snowflake records, through Spark into the ledger."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import fsspec

from crypto_platform.connectors.kafka.admin import TopicState, topic_state
from crypto_platform.connectors.snowflake import schema
from crypto_platform.connectors.snowflake.query_tag import tagged
from crypto_platform.failpoints import reach
from crypto_platform.ingestion import offsets, staging_table
from crypto_platform.ingestion.ledger import Connect, Load, LoadIdentity, Loss, commit, record_loss
from crypto_platform.ingestion.ledger_loss import LedgerLoss, give_up
from crypto_platform.ingestion.locks import loading
from crypto_platform.ingestion.stage import Span, stage_messages
from crypto_platform.ingestion.staging_table import TimeRange
from crypto_platform.market.bars import BARS
from crypto_platform.market.data_source import origin
from crypto_platform.market.dataset import Dataset, check_feed
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession
    from snowflake.connector import SnowflakeConnection


class LostMessagesError(RuntimeError):
    """The topic no longer holds what Snowflake has yet to load; nothing was loaded."""


class OffsetsExpiredError(LostMessagesError):
    """Messages were deleted from the topic before they were loaded."""


class TopicRecreatedError(LostMessagesError):
    """The topic is not the one that the recorded offsets belong to."""


@dataclass(frozen=True)
class LoadReport:
    """What one load did.

    `load_id` is None when there was nothing new. `offsets`: per partition, first offset read and the next one
    after the last. `rejected_by_reason`; `by_day`: per UTC day of the records' time and symbol,
    (loaded, unchanged). `time_range`: first and last time of those that were good. `offset_gaps`: offsets without a
    message. `seconds` a hop.
    """

    topic: str
    load_id: str | None
    messages: int = 0
    loaded: int = 0
    unchanged: int = 0
    rejected: int = 0
    offset_gaps: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    by_day: dict[date, dict[str, tuple[int, int]]] = field(default_factory=dict)
    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    time_range: TimeRange | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def bars_per_second(self) -> float:
        total = sum(self.seconds.values())
        return self.messages / total if total else 0.0

    def metadata(self) -> dict[str, Any]:
        """The report as plain values for people to read."""
        return {
            "topic": self.topic,
            "load": self.load_id or "nothing new on the topic",
            "messages": self.messages,
            "loaded": self.loaded,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "rejected_by_reason": self.rejected_by_reason,
            "offset_gaps": self.offset_gaps,
            "offsets": {str(p): f"{first}..{end - 1}" for p, (first, end) in self.offsets.items()},
            "time_range": " to ".join(start.isoformat() for start in self.time_range or ()) or "none",
            "duration_by_step": {hop: round(seconds, 3) for hop, seconds in self.seconds.items()},
            "bars_per_second": round(self.bars_per_second),
        }


@dataclass(frozen=True)
class LossReport:
    """What `accept_loss` gave up: offsets per partition before and after, and the messages skipped, if known."""

    topic: str
    before: dict[int, int]
    after: dict[int, int]
    skipped: int | None


def load(
    settings: Settings,
    feed: str,
    run_id: str,
    connect: Connect | None = None,
    spark: "Callable[[], SparkSession] | None" = None,
    progress: Callable[[int, int, int], None] | None = None,
    dataset: Dataset = BARS,
) -> LoadReport:
    """Load everything that the feed's topic holds and Snowflake does not have yet; one load of a topic at a time.

    `connect` gives a connection as a context manager, `spark` a Connect session; both default to the settings'.
    Spark is not needed when there is nothing new. `progress` is told (hops done, hops in all, messages).

    Raises:
        OffsetsExpiredError, TopicRecreatedError: messages are gone; it says which, and what republishes them.
        crypto_platform.connectors.kafka.admin.TopicError: the topic is not there.
        crypto_platform.ingestion.stage.StageError: Spark failed; nothing was loaded.
        crypto_platform.ingestion.staging_table.ScratchError: Snowflake did not take what Spark wrote.
        crypto_platform.ingestion.offsets.ConcurrentLoadError: another load took the messages.
        crypto_platform.ingestion.ledger.LoadNotCommittedError: the transaction is not in Snowflake.
    """
    with loading(settings, dataset.topic(feed)), tagged(component="load", feed=feed, run_id=run_id):
        return _load(settings, feed, run_id, connect or _connect(settings), spark, progress, dataset)


def _load(
    settings: Settings,
    feed: str,
    run_id: str,
    connect: Connect,
    spark: "Callable[[], SparkSession] | None",
    progress: Callable[[int, int, int], None] | None,
    dataset: Dataset,
) -> LoadReport:
    seconds: dict[str, float] = {}
    clock = _Clock(seconds, progress or _nobody)
    with connect() as connection:
        schema.ensure_schema(connection, feed, dataset)
        topic, spans = _preflight(settings, feed, connection, dataset)
        if settings.embedded_snowflake:
            staging_table.drop_stale(connection)
    drop_stale_folders(settings, feed)
    clock.lap("preflight")
    if not spans:
        return LoadReport(topic.topic, None, seconds=seconds)

    began = datetime.now(UTC).replace(tzinfo=None)
    load_id = _load_id(began)
    folder = f"{settings.stage}/{check_feed(feed)}/{load_id}"
    timeout = settings.snowflake_statement_timeout
    this = Load(load_id, feed, topic.topic, topic.topic_id, run_id, origin(settings), began, dataset, spans, timeout)

    reach("before_parquet")
    with _session(settings, spark) as opened:
        staged = stage_messages(opened, settings, dataset, topic.topic, spans, folder)
    reach("after_parquet")
    clock.lap("spark", staged.messages)

    with tagged(load_id=load_id), connect() as connection:
        table = staging_table.fill(connection, settings, dataset, load_id, staged)
        reach("after_copy")
        clock.lap("put_copy", staged.messages)
        filled = staging_table.verify(connection, dataset, table, staged, spans)
        clock.lap("verify", staged.messages)
        counts = commit(connection, connect, this, filled)
        clock.lap("transaction", staged.messages)

    reach("before_clean_up")
    if settings.embedded_snowflake:
        # Another one: the line of the load's own may have been cut at the commit.
        with connect() as connection:
            staging_table.drop(connection, load_id)
    _drop_folder(folder)
    clock.lap("clean_up", staged.messages)
    return LoadReport(
        topic=topic.topic,
        load_id=load_id,
        messages=counts.messages,
        loaded=counts.loaded,
        unchanged=counts.unchanged,
        rejected=counts.rejected,
        offset_gaps=filled.offset_gaps,
        rejected_by_reason=counts.reasons,
        by_day=counts.by_day,
        offsets={p: (span.start, span.end) for p, span in sorted(spans.items())},
        time_range=filled.time_range,
        seconds=seconds,
    )


def accept_loss(
    settings: Settings, feed: str, run_id: str, connect: Connect | None = None, dataset: Dataset = BARS
) -> LossReport:
    """Give up the messages that the topic no longer holds, so that loads go on with what it does hold.

    What was lost is not in Snowflake afterwards: publish its days again from the lake, then load. The loss is
    kept as a row of `RAW.LOADS` with a note, in the same transaction that moves the offsets. Without a loss
    nothing changes.

    Raises:
        ConcurrentLoadError: a load moved the offsets meanwhile.
    """
    connect = connect or _connect(settings)
    state = topic_state(settings, feed, dataset)
    with connect() as connection:
        schema.ensure_schema(connection, feed, dataset)
        before = offsets.recorded(connection, feed, state.topic)
        problem = _problem(state, before, feed)
        if problem is None or (before.topic_id is None and not any(state.earliest.values())):
            return LossReport(state.topic, before.next_offsets, before.next_offsets, 0)
        recreated = before.topic_id not in (None, state.topic_id) or _is_truncated(state, before)
        after = {
            p: first if recreated else max(first, before.next_offsets.get(p, 0)) for p, first in state.earliest.items()
        }
        skipped = None if recreated else sum(after[p] - before.next_offsets.get(p, 0) for p in after)
        began = datetime.now(UTC).replace(tzinfo=None)
        record_loss(
            connection,
            Loss(
                _load_id(began),
                feed,
                state.topic,
                state.topic_id,
                run_id,
                origin(settings),
                began,
                before,
                after,
                str(problem),
            ),
        )
    return LossReport(state.topic, before.next_offsets, after, skipped)


def accept_ledger_loss(settings: Settings, feed: str, run_id: str, connect: Connect | None = None) -> LedgerLoss:
    """Give up the versions that loads put into the ledger and that are gone from it, so that it can be whole again.

    A row of `RAW.LOADS` with a note says how many, below zero. Publish all of the lake's days again afterwards, then
    load. Without a loss nothing changes.
    """
    with loading(settings, BARS.topic(feed)), (connect or _connect(settings))() as connection:
        schema.ensure_schema(connection, feed)
        state = topic_state(settings, feed)
        began = datetime.now(UTC).replace(tzinfo=None)
        return give_up(
            connection,
            LoadIdentity(_load_id(began), feed, state.topic, state.topic_id, run_id, origin(settings), began),
        )


def _preflight(
    settings: Settings, feed: str, connection: "SnowflakeConnection", dataset: Dataset
) -> tuple[TopicState, dict[int, Span]]:
    """The topic and the spans to read; non-empty ones only."""
    state = topic_state(settings, feed, dataset)
    before = offsets.recorded(connection, feed, state.topic)
    if problem := _problem(state, before, feed):
        raise problem
    new = sorted(set(state.end) - set(before.next_offsets))
    offsets.enroll(connection, feed, state.topic, state.topic_id, new)
    spans = {p: Span(before.next_offsets.get(p, 0), end) for p, end in state.end.items()}
    return state, {p: span for p, span in spans.items() if span}


def _problem(state: TopicState, before: offsets.Recorded, feed: str) -> LostMessagesError | None:
    """What of the recorded offsets the topic cannot serve any more."""
    remediation = f"Republish it from the lake: crypto-platform republish --feed {feed}"
    if before.topic_id not in (None, state.topic_id):
        return TopicRecreatedError(
            f"topic {state.topic} was deleted and created again: its id is {state.topic_id}, Snowflake drained "
            f"{before.topic_id} up to offsets {before.next_offsets}. Messages that were published and not yet loaded "
            f"are lost. {remediation}"
        )
    if _is_truncated(state, before):
        return TopicRecreatedError(
            f"topic {state.topic} ends at {state.end}, before the offsets {before.next_offsets} that Snowflake has "
            f"loaded: the brokers lost messages. {remediation}"
        )
    gone = {
        p: (before.next_offsets.get(p, 0), first)
        for p, first in state.earliest.items()
        if first > before.next_offsets.get(p, 0)
    }
    if gone:
        ranges = "; ".join(f"partition {p}: offsets {a} to {b - 1} ({b - a} messages)" for p, (a, b) in gone.items())
        return OffsetsExpiredError(
            f"topic {state.topic} no longer holds {sum(b - a for a, b in gone.values())} messages that were never "
            f"loaded: {ranges}. {remediation}"
        )
    return None


def _is_truncated(state: TopicState, before: offsets.Recorded) -> bool:
    return any(state.end.get(p, 0) < offset for p, offset in before.next_offsets.items())


def _load_id(began: datetime) -> str:
    return f"{began:%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:12]}"


def _drop_folder(folder: str) -> None:
    fs, root = fsspec.core.url_to_fs(folder)
    fs.rm(root, recursive=True)


def drop_stale_folders(settings: Settings, feed: str) -> list[str]:
    """Remove what dead attempts staged more than a day ago; returns the folders' names."""
    fs, root = fsspec.core.url_to_fs(f"{settings.stage}/{check_feed(feed)}")
    folders = fs.ls(root, detail=False, refresh=True) if fs.exists(root) else []
    stale = [folder for folder in folders if staging_table.is_stale(_name(folder))]
    for folder in stale:
        fs.rm(folder, recursive=True)
    return [_name(folder) for folder in stale]


def _name(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


class _Clock:
    """Laps of one load, in seconds, into a dict by name, told to whoever follows the progress."""

    _HOPS = 6

    def __init__(self, laps: dict[str, float], progress: Callable[[int, int, int], None]) -> None:
        self._laps = laps
        self._progress = progress
        self._last = time.monotonic()

    def lap(self, name: str, messages: int = 0) -> None:
        now = time.monotonic()
        self._laps[name] = now - self._last
        self._last = now
        self._progress(len(self._laps), self._HOPS, messages)


def _nobody(_done: int, _total: int, _messages: int) -> None:
    pass


@contextmanager
def _session(settings: Settings, given: "Callable[[], SparkSession] | None") -> Iterator["SparkSession"]:
    if given is not None:
        yield given()
        return
    from crypto_platform.connectors.spark import session

    own = session(settings)
    try:
        yield own
    finally:
        own.stop()


def _connect(settings: Settings) -> Connect:
    from crypto_platform.connectors.snowflake.connection import connect

    return partial(connect, settings, "load")
