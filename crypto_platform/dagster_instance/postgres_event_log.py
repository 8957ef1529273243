"""Dagster's event log in Postgres, with its connections kept and an asset's events stored together.

dagster-postgres' own logs in again for every event, which takes a month's run, of some four thousand, several minutes.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine

from crypto_platform.dagster_instance.event_log_storage import BATCH_SIZE, BATCH_SIZE_VARIABLE
from crypto_platform.dagster_instance.internals import ConfigurableClassData

# Shorter than what proxies and firewalls let a connection idle.
_RECYCLE_SECONDS = 300


class PooledPostgresEventLogStorage(PostgresEventLogStorage):
    """One connection a process is kept, and tried before each use: Postgres may have been restarted."""

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        self._engine = create_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            # Threads beyond the first have connections of their own, which are closed after use.
            max_overflow=-1,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
        )
        # Dagster knows no other way to be told that its storage takes batches.
        os.environ.setdefault(BATCH_SIZE_VARIABLE, str(BATCH_SIZE))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresEventLogStorage":
        return cls(pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events an asset and kind at a time, of which dagster-postgres notes the last as the asset's newest.

        A step of dbt has events of many assets.
        """
        groups: dict[tuple[object, object], list[dg.EventLogEntry]] = {}
        for entry in events:
            asset = entry.dagster_event.asset_key if entry.dagster_event else None
            groups.setdefault((entry.dagster_event_type, asset), []).append(entry)
        for group in groups.values():
            super().store_event_batch(group)

    def dispose(self) -> None:
        self._engine.dispose()
        super().dispose()
