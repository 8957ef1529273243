"""Dagster's SQLite event log, with its connections kept open and its events written in batches.

Dagster's own opens and closes a database for every event, and closing the last connection checkpoints the whole
write-ahead log: about 20 ms an event. It also looks up the tables' columns for each, and commits each. A run over 23
years of days materialises half a million partitions, and Dagster's own would first plan each of them, and each of
them for every check.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, inspect, select
from sqlalchemy.exc import OperationalError

from crypto_platform.dagster_instance.internals import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    PlannedMaterializationInfo,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)
from crypto_platform.dagster_instance.partition_events import (
    PlannedRange,
    alike,
    of_partitions,
    partition_rows,
    partitions_planned,
    planned_of_asset,
    planned_of_one,
)

# Events of one kind, such as an asset's materialisations, that Dagster hands over together.
BATCH_SIZE = 1_000
BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
# Databases that are kept open: the index and those of the runs that were asked for last.
OPEN_AT_MOST = 16


class CompactSqliteEventLogStorage(SqliteEventLogStorage):
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
    ) -> "CompactSqliteEventLogStorage":
        return cls(inst_data=inst_data, **config_value)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event; one about an asset by the rules of a batch."""
        if event.dagster_event_type in ASSET_EVENTS:
            self.store_event_batch([event])
        else:
            super().store_event(planned_of_asset(event))

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events in one transaction a database; when one cannot be stored, none of it is."""
        with self._db_lock:
            try:
                with self.index_connection() as index, self._connect(events[0].run_id) as run:
                    self._in_batch = {INDEX_SHARD_NAME: index, events[0].run_id: run}
                    for of_assets, of_kind in groupby(events, key=lambda e: e.dagster_event_type in ASSET_EVENTS):
                        if of_assets:
                            self._store_asset_events(run, index, [planned_of_one(entry) for entry in of_kind])
                        else:
                            super().store_event_batch(list(of_kind))
            finally:
                self._in_batch = {}

    def _store_asset_events(self, run: Connection, index: Connection, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events of assets with a statement for all of them, and note only the last one of each as its newest.

        The index has a row for each partition; the run's log has one event for partitions that differ in nothing else.
        """
        of_run: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        for group in alike(events):
            if len(group) == 1:
                found = [self._event_to_row(group[0])]
                of_run += found
            else:
                of_run.append(self._event_to_row(of_partitions(group)))
                found = partition_rows(group, self._event_to_row)
            rows += found
        run.execute(SqlEventLogStorageTable.insert(), of_run)
        index.execute(SqlEventLogStorageTable.insert(), rows)
        # Nobody else writes within the transaction: the ids follow one another.
        last: int = index.exec_driver_sql("SELECT last_insert_rowid()").scalar_one()
        ids = range(last - len(rows) + 1, last + 1)
        self._store_asset_event_tags(index, events, ids)
        newest = {row["asset_key"]: (entry, id_) for entry, row, id_ in zip(events, rows, ids, strict=True)}
        for last_event, last_id in newest.values():
            self._store_asset_event(index, last_event, last_id)

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """Whether a run says in one event an asset which of its partitions it will materialise, and not in one each."""
        return True

    def get_latest_asset_partition_materialization_attempts_without_materializations(
        self, asset_key: dg.AssetKey, after_storage_id: int | None = None
    ) -> Mapping[str, tuple[str, int]]:
        """As Dagster's own, with the partitions that runs over many of them have planned."""
        attempts = dict(
            super().get_latest_asset_partition_materialization_attempts_without_materializations(
                asset_key, after_storage_id
            )
        )
        planned = self._planned_ranges(asset_key, after_storage_id)
        if not planned:
            return attempts
        materialised = self.get_latest_storage_id_by_partition(
            asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, after_cursor=planned[0].storage_id
        )
        for plan in planned:
            for partition in plan.partitions:
                newer = max(materialised.get(partition, 0), attempts.get(partition, ("", 0))[1])
                if newer < plan.storage_id:
                    attempts[partition] = (plan.run_id, plan.storage_id)
        return attempts

    def get_latest_planned_materialization_info(
        self, asset_key: dg.AssetKey, partition: str | None = None
    ) -> PlannedMaterializationInfo | None:
        """As Dagster's own, with the partitions that runs over many of them have planned."""
        found = super().get_latest_planned_materialization_info(asset_key, partition)
        if partition is not None:
            for plan in self._planned_ranges(asset_key, found.storage_id if found else None):
                if partition in plan.partitions:
                    found = PlannedMaterializationInfo(storage_id=plan.storage_id, run_id=plan.run_id)
        return found

    def _planned_ranges(self, asset_key: dg.AssetKey, after_storage_id: int | None) -> list[PlannedRange]:
        """What runs over many partitions have planned of the asset, ascending by storage id."""
        table = SqlEventLogStorageTable.c
        query = self._add_assets_wipe_filter_to_query(
            select(table.id, table.run_id, table.event).where(
                table.asset_key == asset_key.to_string(),
                table.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
                table.partition.is_(None),
                table.id > (after_storage_id or 0),
            ),
            self._get_assets_details([asset_key]),
            [asset_key],
        )
        with self.index_connection() as connection:
            found: Sequence[Any] = connection.execute(query.order_by(table.id)).all()
        return [PlannedRange(id_, run_id, partitions_planned(stored)) for id_, run_id, stored in found]

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

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """As Dagster's own; a new database has pages of 16 KiB, for one of 4 KiB has room for a single event."""
        with suppress(OperationalError), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA page_size=16384")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        super()._initdb(engine, for_index_shard)

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
