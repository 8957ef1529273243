"""The sensors that watch for what is wrong (`crypto_platform.monitoring`) and tell it (`crypto_platform.alerting`)."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from crypto_platform.alerting.manager import AlertManager
from crypto_platform.monitoring import checks, late_assets, runs, ticks
from crypto_platform.settings import settings

# A fault is told within an interval and a tick.
INTERVAL_SECONDS = 15
# Since when this code has been able to tick.
BEGAN = datetime.now(UTC)

Look = Callable[[dg.SensorEvaluationContext, AlertManager, datetime], None]


def _sensor(name: str, description: str, *looks: Look) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        manager = AlertManager(settings())
        for look in looks:
            look(context, manager, datetime.now(UTC))
        for report in manager.deliver():
            for title in report.posted:
                context.log.info("notified on %s: %s", report.channel, title)
            if report.error:
                context.log.warning("%s was not notified: %s", report.channel, report.error)
        return dg.SkipReason(f"{len(manager.open())} alerts are open")

    return sensor


def _runs(context: dg.SensorEvaluationContext, manager: AlertManager, now: datetime) -> None:
    runs.watch(context.instance, manager, settings(), now)
    runs.watch_backfills(context.instance, manager, settings(), now)


def _checks(context: dg.SensorEvaluationContext, manager: AlertManager, now: datetime) -> None:
    checks.watch(context.instance, manager, settings(), now)


def _freshness(context: dg.SensorEvaluationContext, manager: AlertManager, now: datetime) -> None:
    repository = context.repository_def
    assert repository  # noqa: S101
    graph = repository.asset_graph
    groups = {
        key: graph.get(key).group_name or ""
        for key in graph.materializable_asset_keys
        if graph.get(key).freshness_policy_or_from_metadata
    }
    late_assets.watch(context.instance, manager, settings(), now, groups)


def _ticks(context: dg.SensorEvaluationContext, manager: AlertManager, now: datetime) -> None:
    repository = context.repository_def
    assert repository  # noqa: S101
    ticks.watch(context.instance, manager, settings(), now, ticks.declared(repository), BEGAN)


@dg.definitions
def alerts() -> dg.Definitions:
    return dg.Definitions(
        sensors=[
            _sensor("alert_on_runs", "Alerts on failed runs and backfills, until they are recovered.", _runs),
            _sensor("alert_on_checks", "Alerts on failed checks, blocking or not, until they pass.", _checks),
            _sensor("alert_on_freshness", "Alerts on assets that are late by their freshness policy.", _freshness),
            _sensor(ticks.ITSELF.name, ticks.ITSELF.purpose, _ticks),
        ]
    )
