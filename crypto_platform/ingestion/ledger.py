"""The one transaction of a load: offsets, new versions, rejects and the load's own row, or none of them."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.schema import LOADS
from crypto_platform.connectors.snowflake.statements import rows, transaction
from crypto_platform.failpoints import reach
from crypto_platform.ingestion import offsets
from crypto_platform.ingestion.stage import Span
from crypto_platform.ingestion.staging_table import Scratch, TimeRange
from crypto_platform.market.dataset import Dataset

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

Connect = Callable[[], AbstractContextManager["SnowflakeConnection"]]

# A statement of another transaction holds or changed what this one wants to change: Snowflake gave the lock's waiter up
# (LOCK_TIMEOUT), or the client did before it (its network timeout, which cancels the statement).
_LOCK_ERRORS = (625, 604)


class LoadNotCommittedError(RuntimeError):
    """The load's transaction is not in Snowflake; nothing of it was kept."""


@dataclass(frozen=True)
class LoadIdentity:
    """What a row of `RAW.LOADS` is about: a load, or what was given up of a topic or the ledger; on whose behalf.

    `origin`: of the source that the settings name, see `market.data_source.origin`.
    """

    load_id: str
    feed: str
    topic: str
    topic_id: str
    run_id: str
    origin: str
    started_at: datetime


@dataclass(frozen=True)
class Load(LoadIdentity):
    """One load: what it reads, and how many seconds one statement of it may take."""

    dataset: Dataset
    spans: dict[int, Span]
    statement_timeout: int


@dataclass(frozen=True)
class Counts:
    """What became of a load's messages: loaded + unchanged + rejected = messages.

    `by_day`: per UTC day of the records' time and symbol, (loaded, unchanged); `reasons`: rejected by reason.
    """

    messages: int
    loaded: int
    unchanged: int
    rejected: int
    reasons: dict[str, int]
    by_day: dict[date, dict[str, tuple[int, int]]]


def commit(connection: "SnowflakeConnection", connect: Connect, load: Load, scratch: Scratch) -> Counts:
    """Run the load's transaction on the connection that has the scratch table, and prove by another that it is there.

    A lost reply to COMMIT is no failure when the load's row is found; a COMMIT that claims success is none
    when it is not.

    Raises:
        ConcurrentLoadError: another load took the messages.
        LoadNotCommittedError: the transaction was not committed, for any other reason.
    """
    from snowflake.connector.errors import Error

    counts, failure = None, None
    cursor = connection.cursor()
    try:
        with transaction(cursor):
            counts = _write(cursor, load, scratch)
    except Error as error:
        failure = error
    reach("after_commit")
    with connect() as other:
        if counts is not None and is_committed(other, load.load_id):
            return counts
        moved = offsets.recorded(other, load.feed, load.topic).next_offsets
    if (failure is not None and failure.errno in _LOCK_ERRORS) or any(
        moved.get(p) != span.start for p, span in load.spans.items()
    ):
        raise offsets.ConcurrentLoadError(
            f"another load of {load.topic} is taking these messages; nothing of this load was kept"
        ) from failure
    raise LoadNotCommittedError(
        f"load {load.load_id} of {load.topic} is not in {LOADS}: its transaction was lost or rolled back, nothing "
        f"of it was kept. Load again{f' ({failure})' if failure else ''}"
    ) from failure


@dataclass(frozen=True)
class Loss(LoadIdentity):
    """Offsets to be given up: what was recorded, where the topic goes on, and why."""

    before: offsets.Recorded
    after: dict[int, int]
    note: str


def record_loss(connection: "SnowflakeConnection", loss: Loss) -> None:
    """Move the offsets past what is lost and keep the reason, in one transaction.

    Raises:
        ConcurrentLoadError: a load moved the offsets meanwhile; nothing was changed.
    """
    offsets.enroll(connection, loss.feed, loss.topic, loss.before.topic_id or loss.topic_id, sorted(loss.after))
    cursor = connection.cursor()
    with transaction(cursor):
        known = {p: loss.before.next_offsets.get(p, 0) for p in {*loss.after, *loss.before.next_offsets}}
        offsets.move(
            cursor,
            loss.feed,
            loss.topic,
            loss.before.topic_id or loss.topic_id,
            {p: (offset, loss.after.get(p, 0)) for p, offset in known.items()},
            loss.topic_id,
        )
        insert_load(cursor, loss, known, loss.after, note=loss.note)


def is_committed(connection: "SnowflakeConnection", load_id: str) -> bool:
    """Whether the load's row is in `RAW.LOADS`."""
    return bool(rows(connection.cursor(), f"SELECT 1 FROM {LOADS} WHERE load_id = %s", (load_id,)))


def _write(cursor: "SnowflakeCursor", load: Load, scratch: Scratch) -> Counts:
    """All that the load's transaction does."""
    reach("after_begin")
    # First, because it takes the lock: a second load waits or fails here, before it has done any work.
    moves = {p: (span.start, span.end) for p, span in load.spans.items()}
    offsets.move(cursor, load.feed, load.topic, load.topic_id, moves)
    reach("after_offsets")
    if scratch.time_range:
        insert_versions(cursor, load, scratch.table, scratch.time_range)
    reach("after_versions")
    if scratch.rejected:
        _insert_rejected(cursor, load, scratch)
    reach("after_rejected")
    counts = _count(cursor, load, scratch)
    insert_load(
        cursor,
        load,
        {p: span.start for p, span in load.spans.items()},
        {p: span.end for p, span in load.spans.items()},
        messages=counts.messages,
        loaded=counts.loaded,
        unchanged=counts.unchanged,
        rejected=counts.rejected,
        offset_gaps=scratch.offset_gaps,
    )
    reach("before_commit")
    return counts


def _carried(dataset: Dataset) -> tuple[str, ...]:
    """The columns that come with a version from the scratch table."""
    return (*(f.column for f in dataset.fields), "source", "observed_at", "kafka_partition", "kafka_offset")


def version_query(dataset: Dataset, ledger: str, scratch: str) -> str:
    """The scratch rows that are new versions: those that differ from the observation just before them.

    One that came the other way, by stream or by REST, is one as well, even if it is equal: the two are compared once a
    day is over. Observations of one record are ordered by observed_at; at the same instant the ledger's come first,
    then by their place in the topic. Two values are bound, the first and the last time of the scratch. `loaded_at` is
    the statement's one time, of a moment when the load has its lock: it grows from load to load.
    """
    key = ", ".join(dataset.key)
    carried = ", ".join(_carried(dataset))
    window = f"OVER (PARTITION BY {key} ORDER BY observed_at, is_new, loaded_at, kafka_partition, kafka_offset)"
    compared = (*dataset.values, "source = 'rest'")
    changed = " OR ".join(f"({c}) IS DISTINCT FROM lag({c}) {window}" for c in compared)
    touched = " AND ".join(f"s.{c} = l.{c}" for c in dataset.key)
    return (
        f"SELECT {carried}, loaded_at FROM ("
        f"SELECT {carried}, clock.loaded_at, 1 AS is_new FROM {scratch} "
        "CROSS JOIN (SELECT SYSDATE() AS loaded_at) AS clock WHERE reason IS NULL "
        f"UNION ALL SELECT {carried}, loaded_at, 0 AS is_new FROM {ledger} l "
        f"WHERE {dataset.time} >= %s::TIMESTAMP_NTZ AND {dataset.time} <= %s::TIMESTAMP_NTZ "
        f"AND EXISTS (SELECT 1 FROM {scratch} s WHERE s.reason IS NULL AND {touched})"
        f") observations QUALIFY is_new = 1 AND ({changed})"
    )


def insert_versions(cursor: "SnowflakeCursor", load: Load, scratch_table: str, time_range: TimeRange) -> None:
    """Insert the new versions among the scratch table's good rows, which lie in `time_range`, both ends included.

    Repeated by a retry of the connector, it finds its own rows in the ledger and adds none.
    """
    ledger = load.dataset.ledger(load.feed)
    carried = ", ".join(_carried(load.dataset))
    cursor.execute(
        f"INSERT INTO {ledger} ({carried}, loaded_at, kafka_topic, load_id) "
        f"SELECT v.*, %s, %s FROM ({version_query(load.dataset, ledger, scratch_table)}) v",
        (load.topic, load.load_id, *_text(*time_range)),
        timeout=load.statement_timeout,
    )


def _insert_rejected(cursor: "SnowflakeCursor", load: Load, scratch: Scratch) -> None:
    rejects = load.dataset.rejects
    cursor.execute(
        f"INSERT INTO {rejects} (feed, kafka_topic, kafka_partition, kafka_offset, reason, raw_key, raw_value, "
        "load_id, rejected_at) SELECT %s, %s, kafka_partition, kafka_offset, reason, raw_key, raw_value, %s, "
        f"SYSDATE() FROM {scratch.table} WHERE reason IS NOT NULL "
        f"AND NOT EXISTS (SELECT 1 FROM {rejects} WHERE load_id = %s)",
        (load.feed, load.topic, load.load_id, load.load_id),
    )


def insert_load(
    cursor: "SnowflakeCursor",
    load: LoadIdentity,
    start: Mapping[int, int],
    end: Mapping[int, int],
    *,
    messages: int = 0,
    loaded: int = 0,
    unchanged: int = 0,
    rejected: int = 0,
    offset_gaps: int = 0,
    note: str | None = None,
) -> None:
    """Insert the row of `RAW.LOADS`, unless a retry of the connector did: offsets per partition, from `start` to `end`.

    `loaded` is below zero where versions are given up.
    """
    values = {
        "load_id": load.load_id,
        "feed": load.feed,
        "topic": load.topic,
        "topic_id": load.topic_id,
        "run_id": load.run_id,
        "start_offsets": json.dumps(start),
        "end_offsets": json.dumps(end),
        "message_count": messages,
        "loaded": loaded,
        "unchanged": unchanged,
        "rejected": rejected,
        "offset_gaps": offset_gaps,
        "note": note,
        "origin": load.origin,
        "started_at": load.started_at.isoformat(),
    }
    bound = ", ".join("%s::TIMESTAMP_NTZ" if name == "started_at" else "%s" for name in values)
    cursor.execute(
        f"INSERT INTO {LOADS} ({', '.join(values)}, finished_at) SELECT {bound}, SYSDATE() "
        f"WHERE NOT EXISTS (SELECT 1 FROM {LOADS} WHERE load_id = %s)",
        (*values.values(), load.load_id),
    )


def _count(cursor: "SnowflakeCursor", load: Load, scratch: Scratch) -> Counts:
    """Count what the tables hold of the load, not what the statements claimed."""
    by_day: dict[date, dict[str, tuple[int, int]]] = {}
    if scratch.time_range:
        time = load.dataset.time
        per_day = f"SELECT {time}::DATE, symbol, {{}} AS is_written, count(*) FROM {{}} WHERE {{}} GROUP BY 1, 2"
        good = per_day.format("FALSE", scratch.table, "reason IS NULL")
        written = per_day.format(
            "TRUE",
            load.dataset.ledger(load.feed),
            f"load_id = %s AND {time} >= %s::TIMESTAMP_NTZ AND {time} <= %s::TIMESTAMP_NTZ",
        )
        found = rows(
            cursor,
            f"{good} UNION ALL {written} ORDER BY is_written",
            (load.load_id, *_text(*scratch.time_range)),
        )
        for day, symbol, is_written, count in found:
            symbols = by_day.setdefault(day, {})
            symbols[symbol] = (int(count), symbols[symbol][1] - int(count)) if is_written else (0, int(count))
    reasons = {}
    if scratch.rejected:
        rejects = f"SELECT reason, count(*) FROM {load.dataset.rejects} WHERE load_id = %s GROUP BY reason"
        reasons = {str(reason): int(count) for reason, count in rows(cursor, rejects, (load.load_id,))}
    per_symbol = [counts for symbols in by_day.values() for counts in symbols.values()]
    counts = Counts(
        messages=scratch.messages,
        loaded=sum(loaded for loaded, _ in per_symbol),
        unchanged=sum(unchanged for _, unchanged in per_symbol),
        rejected=sum(reasons.values()),
        reasons=reasons,
        by_day=by_day,
    )
    if counts.loaded + counts.unchanged + counts.rejected != counts.messages or any(
        unchanged < 0 for _, unchanged in per_symbol
    ):
        raise LoadNotCommittedError(
            f"load {load.load_id} does not add up: {counts.messages} messages, {counts.loaded} loaded, "
            f"{counts.unchanged} unchanged, {counts.rejected} rejected; it was rolled back"
        )
    return counts


def _text(*times: date) -> tuple[str, ...]:
    return tuple(time.isoformat() for time in times)
