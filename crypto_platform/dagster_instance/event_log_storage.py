"""Dagster's SQLite event log, with its connections kept open and its events written in batches.

Dagster's own opens and closes a database for every event, and closing the last connection checkpoints the whole
write-ahead log: about 20 ms an event. It also looks up the tables' columns for each, and commits each. A run over a
year of partitions writes over ten thousand.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, inspect

from crypto_platform.dagster_instance.internals import (
    ASSET_CHECK_EVENTS,
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    SqlEventLogStorage,
    SqliteEventLogStorage,
)

# Events of one kind, such as an asset's materialisations, that Dagster hands over together.
BATCH_SIZE = 1_000
BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
# Databases that are kept open: the index and those of the runs that were asked for last.
OPEN_AT_MOST = 16


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """One open connection a database and process, of at most `OPEN_AT_MOST`; `base_dir` as Dagster's own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # The one used last is the last.
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._in_batch: dict[str, Connection] = {}
        self._found: set[str] = set()
        super().__init__(base_dir, inst_data)
        # Entered again by each event of a batch.
        self._db_lock = threading.RLock()  # type: ignore[assignment]
        # Dagster knows no other way to be told that its storage takes batches.
        os.environ.setdefault(BATCH_SIZE_VARIABLE, str(BATCH_SIZE))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "KeptSqliteEventLogStorage":
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events in one transaction a database; when one cannot be stored, none is."""
        with self._db_lock:
            try:
                with self.index_connection() as index, self._connect(events[0].run_id) as run:
                    self._in_batch = {INDEX_SHARD_NAME: index, events[0].run_id: run}
                    super().store_event_batch(events)
            finally:
                self._in_batch = {}

    def get_event_records(
        self, event_records_filter: dg.EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> Sequence[dg.EventLogRecord]:
        """As Dagster's own; checks' evaluations come from the index, by its ids, like those of Postgres."""
        if event_records_filter.event_type in ASSET_CHECK_EVENTS:
            return SqlEventLogStorage.get_event_records(self, event_records_filter, limit, ascending)
        return super().get_event_records(event_records_filter, limit, ascending)

    def has_table(self, table_name: str) -> bool:
        """Whether there is such a table; one that was seen is not looked for again."""
        if table_name not in self._found:
            with self.index_connection() as connection:
                if not inspect(connection).has_table(table_name):
                    return False
            self._found.add(table_name)
        return True

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        column = f"asset_keys.{column_name}"
        if column not in self._found and super()._has_asset_key_col_on_connection(conn, column_name):
            self._found.add(column)
        return column in self._found

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if shard in self._in_batch:
                yield self._in_batch[shard]
                return
            if not Path(self.path_for_shard(shard)).exists():
                self._close(shard)
            engine = self._engines.get(shard) or self._open(shard)
            self._engines[shard] = engine
            self._engines.move_to_end(shard)
            if len(self._engines) > OPEN_AT_MOST:
                self._close(next(iter(self._engines)))
            with engine.connect() as connection, connection.begin():
                yield connection

    def _open(self, shard: str) -> Engine:
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )

        # With a write-ahead log, NORMAL keeps the database whole through a power cut; it may lose the last events.
        @event.listens_for(engine, "connect")
        def _relax(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=NORMAL")

        self._initdb(engine)
        return engine

    def _close(self, shard: str) -> None:
        engine = self._engines.pop(shard, None)
        if engine is not None:
            engine.dispose()

    def delete_events(self, run_id: str) -> None:
        """As Dagster's own, and the run's database, which is of no more use."""
        super().delete_events(run_id)
        with self._db_lock:
            self._close(run_id)
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path_for_shard(run_id)}{end}").unlink(missing_ok=True)

    def dispose(self) -> None:
        for shard in list(self._engines):
            self._close(shard)
        super().dispose()
