"""What is removed once nobody needs it; never the only copy of anything.

| what | kept | why it may go |
|---|---|---|
| unfinished files of the lake | a day | a day is put in place whole; these are of killed writers |
| stage folders of loads | a day | the ledger holds what was loaded, the topic and the lake what was not |
| dbt's run folders | the last `RUNS_KEPT` | made again by each run |
| runs, their events and logs | `RUN_RETENTION_DAYS` | `RAW.LOADS` and `RAW.REQUESTED_PARTITIONS` hold what they did |

A run stays while it is the newest of a partition of an asset: Dagster knows what is materialised, and when, from its
events. Never touched: the lake's days, the ledger, rejected messages, offsets, topics. Kafka removes what is older than
`KAFKA_RETENTION_HOURS` by itself, and a load that misses messages then stops and says so; every published bar is in the
lake.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from crypto_platform.dagster_instance.internals import FINISHED_STATUSES
from crypto_platform.ingestion.topic_load import drop_stale_folders
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import Settings

UNFINISHED = re.compile(r"\.\d{4}-\d\d-\d\d\.(jsonl\.zst|json)\.[0-9a-f]{32}\.tmp")
STALE = timedelta(days=1)
RUNS_AT_ONCE = 200


@dataclass(frozen=True)
class Removed:
    """What one round removed: names of files and folders, ids of runs."""

    lake: list[str]
    stage: list[str]
    runs: list[str]


def unfinished_files(settings: Settings, now: datetime) -> list[str]:
    """Remove what killed writers left in a local lake; an object store shows whole objects only."""
    root = Path(settings.lake)
    if "://" in settings.lake or not root.is_dir():
        return []
    left = [p for p in root.rglob(".*.tmp") if UNFINISHED.fullmatch(p.name) and _age(p, now) > STALE]
    for path in left:
        path.unlink()
    return sorted(path.name for path in left)


def old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Delete finished runs from before `before` that no asset's partition needs; returns their ids."""
    needed = {run_id for key in instance.all_asset_keys() for run_id in _newest_runs(instance, key)}
    old = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    deleted: list[str] = []
    cursor = None
    while records := instance.get_run_records(old, ascending=True, limit=RUNS_AT_ONCE, cursor=cursor):
        ids = [record.dagster_run.run_id for record in records]
        for run_id in ids:
            if run_id not in needed:
                instance.delete_run(run_id)
                instance.compute_log_manager.delete_logs(prefix=[run_id])
                deleted.append(run_id)
        kept = [run_id for run_id in ids if run_id in needed]
        cursor = kept[-1] if kept else cursor
    return deleted


def clean(settings: Settings, instance: dg.DagsterInstance, now: datetime) -> Removed:
    """One round of everything."""
    return Removed(
        lake=unfinished_files(settings, now),
        stage=[name for feed in feeds() for name in drop_stale_folders(settings, feed)],
        runs=old_runs(instance, now - timedelta(days=settings.run_retention_days)),
    )


def _newest_runs(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[str]:
    """The runs of the newest materialisation of each partition."""
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    ids = sorted(newest.values())
    found: set[str] = set()
    for first in range(0, len(ids), 500):
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[first : first + 500]), limit=500
        ).records
        found |= {record.run_id for record in records}
    return found


def _age(path: Path, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(path.stat().st_mtime, UTC)
