"""Runs and backfills that failed, until what they were to make is there."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import orjson

from crypto_platform.alerting.alert import Alert, Severity
from crypto_platform.alerting.manager import AlertManager, AlertTransaction
from crypto_platform.dagster_instance.internals import (
    BACKFILL_ID_TAG,
    WILL_RETRY_TAG,
    BulkActionStatus,
    EventLogCursor,
    PartitionBackfill,
    SerializableErrorInfo,
    StepFailureData,
)
from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.data_source import label
from crypto_platform.monitoring.scope import command_in, feed_of, first_line, rerun
from crypto_platform.monitoring.ui import Links
from crypto_platform.orchestration.dbt.results import TestsFailedError
from crypto_platform.settings import Settings

SOURCE = "runs"
BACKFILLS = "backfills"
# Of what failed before anybody watched.
LOOK_BACK = timedelta(days=1)
# Failures that are looked at together.
AT_ONCE = 100
# Dagster says a moment after the failure whether it will run it again.
SETTLES = timedelta(seconds=5)
# Errors of steps that failed checks ended, which are told as these.
BY_CHECKS = {"DagsterAssetCheckFailedError", TestsFailedError.__name__}
# What dagster-dbt puts before dbt's own words, which come after how dbt was called.
DBT_SAYS = "Errors parsed from dbt logs:"
_FAILED = (BulkActionStatus.FAILED, BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILING)


def watch(instance: dg.DagsterInstance, manager: AlertManager, settings: Settings, now: datetime) -> None:
    """Open an alert for each run that failed since the last look, and close those that have recovered.

    One that Dagster runs again by itself is a warning, and worse when that fails, too. A run that nothing but failed
    checks ended is told as these.
    """
    with manager.transaction(SOURCE) as transaction:
        for failure in _new_failures(instance, transaction, now):
            if failure.stopped_by_checks or _is_mended(instance, failure.run, failure.storage_id):
                continue
            transaction.raise_(_alert(instance, failure, settings))
        for incident in transaction.open():
            run_id, _, storage_id = incident.alert.reference.partition(" ")
            run = instance.get_run_by_id(run_id)
            if run is None or _is_mended(instance, run, int(storage_id)):
                transaction.recover(incident.alert.fingerprint)


def watch_backfills(instance: dg.DagsterInstance, manager: AlertManager, settings: Settings, now: datetime) -> None:
    """Open an alert for each backfill that failed since the last look, and close those that have recovered."""
    with manager.transaction(BACKFILLS) as transaction:
        known: list[str] = orjson.loads(transaction.cursor or "[]")
        recent = {b.backfill_id: b for b in instance.get_backfills(limit=AT_ONCE) if _ended(b) > now - LOOK_BACK}
        for name, backfill in recent.items():
            failed = backfill.status in _FAILED and name not in known
            if failed and not _backfill_is_mended(instance, backfill):
                transaction.raise_(_backfill_alert(instance, backfill, settings, now))
        transaction.cursor = orjson.dumps([name for name, b in recent.items() if b.status in _FAILED]).decode()
        for incident in transaction.open():
            known_one = instance.get_backfill(incident.alert.reference)
            if known_one is None or _backfill_is_mended(instance, known_one):
                transaction.recover(incident.alert.fingerprint)


@dataclass(frozen=True)
class Step:
    """A step that failed, and its errors, each followed by its cause."""

    key: str
    errors: list[SerializableErrorInfo]

    @property
    def stopped_by_checks(self) -> bool:
        return any(error.cls_name in BY_CHECKS for error in self.errors)


@dataclass(frozen=True)
class Failure:
    """A run that failed: the id of its event, when (UTC), what it says, and its steps that failed, the first first."""

    run: dg.DagsterRun
    storage_id: int
    at: datetime
    message: str
    steps: list[Step]

    @property
    def stopped_by_checks(self) -> bool:
        return bool(self.steps) and all(step.stopped_by_checks for step in self.steps)

    @property
    def _step(self) -> Step:
        """The one to tell of."""
        return next((step for step in self.steps if not step.stopped_by_checks), Step("", []))

    @property
    def step(self) -> str:
        return self._step.key

    @property
    def cause(self) -> str:
        errors = self._step.errors
        text = errors[-1].message if errors else self.message
        dbt_says = text.partition(DBT_SAYS)[2]
        return first_line(" ".join(dbt_says.split()) or text)

    @property
    def remediation(self) -> str:
        """The command that an error of the chain names."""
        commands = (command_in(error.message) for error in self._step.errors)
        return next((command for command in commands if command), "")


def _new_failures(instance: dg.DagsterInstance, transaction: AlertTransaction, now: datetime) -> Iterator[Failure]:
    cursor = transaction.cursor
    wanted = dg.RunStatusChangeRecordsFilter(
        dg.DagsterEventType.RUN_FAILURE, after_timestamp=(now - LOOK_BACK).timestamp() if cursor is None else None
    )
    found = instance.fetch_run_status_changes(wanted, limit=AT_ONCE, cursor=cursor, ascending=True)
    for record in found.records:
        at = datetime.fromtimestamp(record.timestamp, UTC)
        run = instance.get_run_by_id(record.run_id)
        if run is not None:
            undecided = instance.run_retries_enabled and WILL_RETRY_TAG not in run.tags
            if undecided and now - at < SETTLES:
                return
            event = record.event_log_entry.dagster_event
            message = (event.message if event else None) or ""
            yield Failure(run, record.storage_id, at, message, _failed_steps(instance, run))
        transaction.cursor = EventLogCursor.from_storage_id(record.storage_id).to_string()


def _failed_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Step]:
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event)]
    return [Step(event.step_key or "", list(_errors(event.event_specific_data))) for event in events]


def _errors(data: object) -> Iterator[SerializableErrorInfo]:
    error = data.error if isinstance(data, StepFailureData) else None
    while error is not None:
        yield error
        error = error.cause


def _alert(instance: dg.DagsterInstance, failure: Failure, settings: Settings) -> Alert:
    run = failure.run
    days, assets = Days.of(run.tags), _assets(instance, run)
    feed = feed_of(assets, run.job_name)
    again = run.tags.get(WILL_RETRY_TAG) == "true"
    backfill = run.tags.get(BACKFILL_ID_TAG)
    name = _name(run)
    missing = _unmade(instance, run)
    effect = "Dagster runs it once more by itself" if again else _missing_effect(missing)
    return Alert(
        fingerprint=fingerprint(instance, run),
        kind="run failure",
        summary=f"the run of {name} failed{f' at {failure.step}' if failure.step else ''}",
        started_at=failure.at,
        severity=Severity.WARNING if again else Severity.ERROR,
        feed=feed,
        partitions=str(days or ""),
        impact=f"{effect}{f'; part of backfill {backfill}' if backfill else ''}",
        cause=failure.cause,
        link=Links(settings).run(run.run_id),
        remediation=failure.remediation or rerun(feed, days),
        data_source=label(settings) if feed else "",
        reference=f"{run.run_id} {failure.storage_id}",
    )


def fingerprint(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The same for a run, for what repeats it, and for another run of the same over the same days."""
    root = instance.get_run_by_id(run.root_run_id) if run.root_run_id else run
    of = root or run
    selected = "+".join(sorted(key.to_user_string() for key in of.asset_selection or ()))
    return f"run:{_name(of)}:{Days.of(of.tags) or ''}:{_short(selected)}"


def _name(run: dg.DagsterRun) -> str:
    """The job's name, or of assets launched on their own their names."""
    if not run.job_name.startswith("__"):
        return run.job_name
    names = sorted(key.to_user_string() for key in run.asset_selection or ())
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}" or "assets"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


def _missing_effect(missing: list[dg.AssetKey]) -> str:
    if not missing:
        return "everything was made, but the run did not end well"
    names = ", ".join(key.to_user_string() for key in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"not made: {names}{more}"


def _assets(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[dg.AssetKey]:
    """The assets that the run was to make."""
    if run.asset_selection:
        return set(run.asset_selection)
    return _of_events(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)


def _of_events(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> set[dg.AssetKey]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    events = (record.event_log_entry.dagster_event for record in records)
    return {event.asset_key for event in events if event and event.asset_key}


def _unmade(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.AssetKey]:
    """What the run was to make and did not."""
    made = _of_events(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return sorted(_assets(instance, run) - made)


def _is_mended(instance: dg.DagsterInstance, run: dg.DagsterRun, storage_id: int) -> bool:
    """Whether what the run did not make was made since, by whichever run; of a run without assets, whether it ran."""
    needed = _unmade(instance, run) or sorted(_assets(instance, run))
    if not needed:
        succeeded = dg.RunsFilter(
            job_name=run.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=_created(instance, run)
        )
        return bool(instance.get_runs(succeeded, limit=1))
    return all(_is_made(instance, key, Days.of(run.tags), storage_id) for key in needed)


def _created(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime | None:
    record = instance.get_run_record_by_id(run.run_id)
    return record.create_timestamp if record else None


def _is_made(instance: dg.DagsterInstance, key: dg.AssetKey, days: Days | None, storage_id: int) -> bool:
    """Whether the asset was materialised after the event, on each of the days."""
    if days is not None:
        return days.keys() <= instance.get_materialized_partitions(key, after_cursor=storage_id)
    newest = instance.fetch_materializations(key, limit=1).records
    return bool(newest) and newest[0].storage_id > storage_id


def _ended(backfill: PartitionBackfill) -> datetime:
    return datetime.fromtimestamp(backfill.backfill_end_timestamp or backfill.backfill_timestamp, UTC)


def _backfill_alert(
    instance: dg.DagsterInstance, backfill: PartitionBackfill, settings: Settings, now: datetime
) -> Alert:
    runs = instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill.backfill_id}))
    failed = [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE]
    assets = {key for run in failed for key in _assets(instance, run)} or set(backfill.asset_selection or ())
    feed, days = feed_of(assets, backfill.job_name or ""), _backfill_days(backfill)
    if backfill.error is not None:
        cause, effect = first_line(backfill.error.message), "none of its remaining runs will start"
    else:
        cause, effect = "a run of it failed: see its own alert", f"{len(failed)} of its {len(runs)} runs failed"
    return Alert(
        fingerprint=f"backfill:{backfill.backfill_id}",
        kind="backfill failure",
        summary=f"backfill {backfill.backfill_id} failed",
        started_at=min(_ended(backfill), now),
        feed=feed,
        partitions=str(days or ""),
        impact=effect,
        cause=cause,
        link=Links(settings).backfill(backfill.backfill_id),
        remediation=rerun(feed, days),
        data_source=label(settings) if feed else "",
        reference=backfill.backfill_id,
    )


def _backfill_days(backfill: PartitionBackfill) -> Days | None:
    """From its first day to its last; days in between that it leaves out are free to run again."""
    keys = set(backfill.partition_names or ()).union(*_of_assets(backfill).values())
    return Days.from_keys(min(keys), max(keys)) if keys else None


def _of_assets(backfill: PartitionBackfill) -> dict[dg.AssetKey, set[str]]:
    """The partitions that a backfill of assets was to make, by asset; empty for an asset without partitions."""
    data = backfill.asset_backfill_data
    if data is None:
        return {key: set(backfill.partition_names or ()) for key in backfill.asset_selection or ()}
    of = data.target_subset
    ranged = {key: set(subset.get_partition_keys()) for key, subset in of.partitions_subsets_by_asset_key.items()}
    return {key: set[str]() for key in of.non_partitioned_asset_keys} | ranged


def _backfill_is_mended(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> bool:
    """Whether what it was to make has been made since it began; of a job without assets, whether it ran."""
    if wanted := _of_assets(backfill):
        return all(_was_made(instance, key, keys, backfill) for key, keys in wanted.items())
    keys = set(backfill.partition_names or ())
    # Its oldest run is of the whole job; a later one may repeat what failed of it.
    of_it = dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill.backfill_id})
    oldest = instance.get_runs(of_it, limit=1, ascending=True)
    if assets := {key for run in oldest for key in _assets(instance, run)}:
        return all(_was_made(instance, key, keys, backfill) for key in assets)
    return bool(keys) and keys <= _days_run(instance, backfill)


def _was_made(instance: dg.DagsterInstance, key: dg.AssetKey, keys: set[str], backfill: PartitionBackfill) -> bool:
    wanted = dg.AssetRecordsFilter(
        asset_key=key, asset_partitions=sorted(keys) or None, after_timestamp=backfill.backfill_timestamp
    )
    made = instance.fetch_materializations(wanted, limit=10_000 if keys else 1).records
    return keys <= {record.partition_key for record in made} if keys else bool(made)


def _days_run(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> set[str]:
    """The days over which the backfill's job ran well since it began."""
    since = datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
    succeeded = dg.RunsFilter(job_name=backfill.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=since)
    found = (Days.of(run.tags) for run in instance.get_runs(succeeded))
    return set[str]().union(*(days.keys() for days in found if days))
