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
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, inspect

from crypto_platform.dagster_instance.internals import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
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

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event; one about many partitions as a batch is."""
        if _is_of_many_partitions(event):
            self.store_event_batch([event])
        else:
            super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events in one transaction a database; when one cannot be stored, none of it is.

        An event about many partitions is one of its own: other processes wait for the index meanwhile.
        """
        for of_many, alike in groupby(events, key=_is_of_many_partitions):
            for batch in ([one] for one in alike) if of_many else [list(alike)]:
                self._store_at_once(batch)

    def _store_at_once(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self._db_lock:
            try:
                with self.index_connection() as index, self._connect(events[0].run_id) as run:
                    self._in_batch = {INDEX_SHARD_NAME: index, events[0].run_id: run}
                    for of_assets, alike in groupby(events, key=lambda event: event.dagster_event_type in ASSET_EVENTS):
                        if of_assets:
                            self._store_asset_events(run, index, list(alike))
                        else:
                            super().store_event_batch(list(alike))
            finally:
                self._in_batch = {}

    def _store_asset_events(self, run: Connection, index: Connection, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events of assets with a statement for all of them, and note only the last one of each as its newest."""
        rows = [self._event_to_row(entry) for entry in events]
        run.execute(SqlEventLogStorageTable.insert(), rows)
        # The index is asked by partition: of an event of many it has a row each, without the others in it.
        expanded = [one for entry, row in zip(events, rows, strict=True) for one in self._index_rows(entry, row)]
        ids_in_order = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        ids: list[int] = list(index.execute(ids_in_order, [row for _, row in expanded]).scalars())
        self._store_asset_event_tags(index, [entry for entry, _ in expanded], ids)
        newest = {row["asset_key"]: (entry, id_) for (entry, row), id_ in zip(expanded, ids, strict=True)}
        for last, id_ in newest.values():
            self._store_asset_event(index, last, id_)

    def _index_rows(
        self, event: dg.EventLogEntry, row: dict[str, Any]
    ) -> Iterator[tuple[dg.EventLogEntry, dict[str, Any]]]:
        dagster_event = event.get_dagster_event()
        if dagster_event.partitions_subset is None:
            yield event, row
            return
        planned = dagster_event.asset_materialization_planned_data._replace(partitions_subset=None)
        alone = event._replace(dagster_event=dagster_event._replace(event_specific_data=planned))
        row = self._event_to_row(alone)
        for partition in dagster_event.partitions_subset.get_partition_keys():
            yield alone, {**row, "partition": partition}

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """Whether a run says in one event an asset which of its partitions it will materialise, and not in one each."""
        return True

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
            # In KiB; pages that do not fit are written and read again within a transaction.
            connection.execute("PRAGMA cache_size=-65536")

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


def _is_of_many_partitions(event: dg.EventLogEntry) -> bool:
    return event.dagster_event is not None and event.dagster_event.partitions_subset is not None
