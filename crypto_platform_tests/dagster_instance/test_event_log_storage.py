import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Evaluated
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, event

from crypto_platform.dagster_instance.event_log_storage import (
    BATCH_SIZE_VARIABLE,
    OPEN_AT_MOST,
    CompactSqliteEventLogStorage,
)

DAYS = 50
PARTITIONS = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a storage of a test sets is not the next test's."""
    monkeypatch.setenv(BATCH_SIZE_VARIABLE, "0")
    monkeypatch.delenv(BATCH_SIZE_VARIABLE)


@dg.asset(
    partitions_def=PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("holds", asset="bars")],
)
def bars(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    for day in context.partition_keys:
        context.add_asset_metadata({"day": day}, "bars", partition_key=day)
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="holds")])


@dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[bars])
def returns() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"model": "returns"})


@contextmanager
def instance(folder: Path, kept: bool) -> Iterator[dg.DagsterInstance]:
    folder.mkdir()
    storage = CompactSqliteEventLogStorage if kept else SqliteEventLogStorage
    (folder / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nevent_log_storage:\n  module: {storage.__module__}\n"
        f"  class: {storage.__name__}\n  config: {{base_dir: {folder / 'history'}}}\n"
    )
    with dg.DagsterInstance.from_config(str(folder)) as opened:
        assert type(opened.event_log_storage) is storage
        yield opened


def materialize(opened: dg.DagsterInstance) -> str:
    last = PARTITIONS.get_partition_keys()[DAYS - 1]
    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": last}
    result = dg.materialize([bars, returns], instance=opened, tags=tags)
    assert result.success
    return result.run_id


def stored(opened: dg.DagsterInstance) -> dict[str, object]:
    """What the UI asks for, without what differs from run to run."""
    run_id = materialize(opened)
    records = opened.get_records_for_run(run_id, limit=10_000).records
    (check,) = bars.check_keys
    evaluated = opened.event_log_storage.get_asset_check_execution_history(check, limit=9, status={Evaluated.SUCCEEDED})
    return {
        "run": sorted(
            (kind.value, entry.dagster_event.asset_key.to_string() if entry.dagster_event.asset_key else "")
            for r in records
            if (entry := r.event_log_entry).dagster_event
            and (kind := entry.dagster_event_type)
            # One for all partitions of an asset, where Dagster's own has one each.
            and (kind != dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
            and (kind != dg.DagsterEventType.ASSET_MATERIALIZATION or entry.dagster_event.asset_key != returns.key)
        ),
        "index": {
            key.to_string(): [
                (r.partition_key, materialization.metadata, materialization.tags.keys())
                for r in opened.fetch_materializations(key, limit=10_000).records
                if (materialization := r.asset_materialization)
            ]
            for key in (bars.key, returns.key)
        },
        "partitions": opened.get_materialized_partitions(dg.AssetKey("bars")),
        "newest": opened.get_latest_materialization_event(returns.key).dagster_event.partition,  # type: ignore[union-attr]
        "checks": len(evaluated),
    }


@pytest.mark.slow
def test_it_stores_what_dagsters_own_does(tmp_path: Path) -> None:
    with instance(tmp_path / "own", kept=False) as own:
        expected = stored(own)
    with instance(tmp_path / "kept", kept=True) as kept:
        assert stored(kept) == expected
    assert len(expected["partitions"]) == DAYS  # type: ignore[arg-type]


def test_partitions_that_differ_in_nothing_else_are_one_event_of_the_run(tmp_path: Path) -> None:
    with instance(tmp_path / "kept", kept=True) as kept:
        run_id = materialize(kept)
        told = kept.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        check_rows = kept.event_log_storage.get_asset_check_execution_history(next(iter(bars.check_keys)), limit=9)
    entries = [r.event_log_entry for r in told]
    by_key = Counter(entry.dagster_event.asset_key.to_string() for entry in entries)  # type: ignore[union-attr]
    assert by_key == {'["bars"]': DAYS, '["returns"]': 1}
    assert entries[-1].user_message == "Materialized 50 partitions of returns, 2026-01-01 to 2026-02-19."
    # Nothing stays planned for ever.
    assert [row.status for row in check_rows] == [Evaluated.SUCCEEDED]


def test_a_page_holds_several_events(tmp_path: Path) -> None:
    with instance(tmp_path / "kept", kept=True) as kept:
        run_id = materialize(kept)
    for name in ("index", run_id):
        with closing(sqlite3.connect(tmp_path / "kept" / "history" / f"{name}.db")) as database:
            assert database.execute("PRAGMA page_size").fetchone() == (16384,)
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def planned(opened: dg.DagsterInstance) -> tuple[object, ...]:
    """What the UI and automation ask about a run that has not begun: which partitions it will make."""
    job = dg.define_asset_job("job").resolve(asset_graph=dg.Definitions([bars]).resolve_asset_graph())
    key, storage = dg.AssetKey("bars"), opened.event_log_storage
    runs: list[str] = []

    def plan(first: int, last: int) -> None:
        days = {
            "dagster/asset_partition_range_start": f"2026-01-{first:02d}",
            "dagster/asset_partition_range_end": f"2026-01-{last:02d}",
        }
        runs.append(opened.create_run_for_job(job, tags=days).run_id)

    def known() -> tuple[object, ...]:
        attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        asked = [None, *(f"2026-01-{day:02d}" for day in range(2, 10))]
        newest = [storage.get_latest_planned_materialization_info(key, day) for day in asked]
        (record,) = opened.get_asset_records([key])
        return (
            {partition: runs.index(run_id) for partition, (run_id, _) in attempts.items()},
            [runs.index(found.run_id) if found else None for found in newest],
            record.asset_entry.last_run_id == runs[-1],
        )

    found = []
    # A range, one that overlaps it, a day within, and a day that is made meanwhile; then all is wiped.
    for first, last in ((3, 7), (6, 9), (4, 4)):
        plan(first, last)
        found.append(known())
    opened.report_runless_asset_event(dg.AssetMaterialization(key, partition="2026-01-05"))
    found.append(known())
    plan(5, 6)
    found.append(known())
    opened.wipe_assets([key])
    plan(8, 9)
    found.append(known())
    return tuple(found)


@pytest.mark.slow
def test_what_is_planned_is_known_by_partition(tmp_path: Path) -> None:
    with instance(tmp_path / "own", kept=False) as own:
        expected = planned(own)
    # The day that was made is planned no more.
    assert [len(attempts) for attempts, *_ in expected] == [5, 7, 7, 6, 7, 2]  # type: ignore[misc,arg-type]
    with instance(tmp_path / "kept", kept=True) as kept:
        assert planned(kept) == expected


def test_the_events_of_many_partitions_share_a_commit(tmp_path: Path) -> None:
    commits = 0

    def count(_connection: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(Engine, "commit", count)
    try:
        with instance(tmp_path / "kept", kept=True) as kept:
            materialize(kept)
    finally:
        event.remove(Engine, "commit", count)
    # A commit an event would be three a partition of each asset: planned, materialised, and that in the index.
    assert 0 < commits < 2 * 2 * DAYS


@pytest.mark.slow
def test_a_batch_that_fails_leaves_nothing_and_can_be_stored_event_by_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired = []
    original = SqliteEventLogStorage._store_asset_event

    def fail_once(self: SqliteEventLogStorage, connection: Connection, entry: EventLogEntry, event_id: int) -> None:
        original(self, connection, entry, event_id)
        if self._in_batch and entry.dagster_event and entry.dagster_event.is_step_materialization and not fired:
            fired.append(entry)
            raise OSError("disk full")

    monkeypatch.setattr(SqliteEventLogStorage, "_store_asset_event", fail_once)
    with instance(tmp_path / "kept", kept=True) as kept:
        found = stored(kept)
    monkeypatch.undo()
    assert fired
    with instance(tmp_path / "own", kept=False) as own:
        assert found == stored(own)


@pytest.mark.slow
def test_databases_of_old_runs_are_closed_and_read_again(tmp_path: Path) -> None:
    with instance(tmp_path / "kept", kept=True) as kept:
        ids = [made.execute_in_process(instance=kept).run_id for _ in range(OPEN_AT_MOST + 3)]
        expected = {run_id: len(kept.all_logs(run_id)) for run_id in ids}
        assert min(expected.values()) > 0
        opened = {Path(f.path).stem for f in psutil.Process().open_files() if f.path.startswith(str(tmp_path))}
        assert ids[-1] in opened
        assert len(opened & set(ids)) <= OPEN_AT_MOST
        assert {run_id: len(kept.all_logs(run_id)) for run_id in ids} == expected


def test_the_database_of_a_deleted_run_goes(tmp_path: Path) -> None:
    with instance(tmp_path / "kept", kept=True) as kept:
        ids = [made.execute_in_process(instance=kept).run_id for _ in range(2)]
        kept.delete_run(ids[0])
        assert not list((tmp_path / "kept" / "history").rglob(f"{ids[0]}*"))
        assert not kept.all_logs(ids[0])
        assert kept.all_logs(ids[1])


@dg.job
def made() -> None:
    pass
