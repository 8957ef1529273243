"""Asset checks that failed, blocking or not, until they pass over the same days."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import orjson

from crypto_platform.alerting.alert import Alert, Severity
from crypto_platform.alerting.manager import AlertManager, AlertTransaction
from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.data_source import label
from crypto_platform.monitoring.runs import AT_ONCE, LOOK_BACK
from crypto_platform.monitoring.scope import command_in, feed_of, first_line, rerun
from crypto_platform.monitoring.ui import Links
from crypto_platform.settings import Settings
from crypto_platform.transform.project import manifest

SOURCE = "checks"
# Metadata of what dagster-dbt reports.
OF_DBT = "unique_id"
# Its tests with this `where` see the run's days (dbt_project/macros/get_where_subquery.sql).
IN_WINDOW = "__in_window__"
# Of the metadata in a message.
SHOWN = 6


def watch(instance: dg.DagsterInstance, manager: AlertManager, settings: Settings, now: datetime) -> None:
    """Go through the evaluations since the last look, in their order: open what failed, close what passed."""
    with manager.transaction(SOURCE) as transaction:
        for record in _new_evaluations(instance, transaction.cursor, now):
            _judge(instance, transaction, record, settings)
            transaction.cursor = str(record.storage_id)


def _new_evaluations(instance: dg.DagsterInstance, cursor: str | None, now: datetime) -> list[dg.EventLogRecord]:
    wanted = dg.EventRecordsFilter(
        event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        after_cursor=int(cursor) if cursor else None,
        after_timestamp=None if cursor else (now - LOOK_BACK).timestamp(),
    )
    return list(instance.event_log_storage.get_event_records(wanted, limit=AT_ONCE, ascending=True))


def _judge(
    instance: dg.DagsterInstance, transaction: AlertTransaction, record: dg.EventLogRecord, settings: Settings
) -> None:
    event = record.event_log_entry.dagster_event
    if event is None:
        return
    evaluation = event.asset_check_evaluation_data
    run = instance.get_run_by_id(record.run_id) if record.run_id else None
    key, days = evaluation.asset_check_key, Days.of(run.tags) if run else None
    if not evaluation.passed:
        at = datetime.fromtimestamp(record.timestamp, UTC)
        transaction.raise_(_alert(evaluation, days, at, record.run_id, settings))
        return
    for incident in transaction.open():
        known = orjson.loads(incident.alert.reference)
        if known["check"] == key.to_user_string() and _proves(evaluation, days, known["days"]):
            transaction.recover(incident.alert.fingerprint)


def _proves(evaluation: dg.AssetCheckEvaluation, passed: Days | None, failed: list[str] | None) -> bool:
    """Whether passing over these days says that what failed over those is fixed.

    A check looks at the days of its run; one that is executed on its own, at the whole table.
    """
    if passed is None or _sees_everything(evaluation):
        return True
    if failed is None:
        # One of dbt's tests failed over the whole table, of which these days are a part.
        return OF_DBT not in evaluation.metadata
    first, last = failed
    was = Days.from_keys(first, last)
    return was is None or passed.covers(was)


def _sees_everything(evaluation: dg.AssetCheckEvaluation) -> bool:
    """Whether it is one of dbt's tests that look at the whole table, whatever days the run had.

    One that the manifest does not know any more is taken for one of the run's days.
    """
    nodes: Any = manifest()["nodes"]
    test = nodes.get(_value(evaluation, OF_DBT))
    return test is not None and test["config"].get("where") != IN_WINDOW


def _alert(
    evaluation: dg.AssetCheckEvaluation, days: Days | None, at: datetime, run_id: str, settings: Settings
) -> Alert:
    key = evaluation.asset_check_key
    if _sees_everything(evaluation):
        # The same failure night after night is one alert.
        days = None
    feed = str(_value(evaluation, "feed") or "") or feed_of([key.asset_key])
    is_error = evaluation.severity is dg.AssetCheckSeverity.ERROR
    effect = "what follows in the run was not made" if evaluation.blocking else "what follows was made all the same"
    links = Links(settings)
    remediation = (
        str(_value(evaluation, "remediation") or "") or command_in(evaluation.description or "") or rerun(feed, days)
    )
    return Alert(
        fingerprint=f"check:{key.to_user_string()}:{days or ''}",
        kind="freshness check" if key.name.endswith("is_fresh") else "check failure",
        summary=f"check {key.name} of {key.asset_key.to_user_string()} failed",
        started_at=at,
        severity=Severity.ERROR if is_error else Severity.WARNING,
        feed=feed,
        partitions=str(days or _value(evaluation, "expected_day") or ""),
        impact=effect if run_id else "",
        cause=_cause(evaluation),
        link=links.check(key),
        remediation=remediation,
        data_source=label(settings),
        reference=orjson.dumps(
            {"check": key.to_user_string(), "days": [min(days.keys()), max(days.keys())] if days else None}
        ).decode(),
    )


def _value(evaluation: dg.AssetCheckEvaluation, name: str) -> object:
    found = evaluation.metadata.get(name)
    return found.value if found is not None else None


def _cause(evaluation: dg.AssetCheckEvaluation) -> str:
    """What the check says itself: its description, else its figures."""
    if evaluation.description:
        return first_line(evaluation.description)
    figures = [
        f"{name}: {found.value}"
        for name, found in evaluation.metadata.items()
        if isinstance(found.value, str | int | float) and "\n" not in str(found.value)
    ]
    return first_line(", ".join(figures[:SHOWN]))
