"""The sensors that watch for what is wrong (`crypto_platform.monitoring`) and tell it (`crypto_platform.alerting`)."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from crypto_platform.alerting.book import Book
from crypto_platform.monitoring import checks, late_assets, runs, ticks
from crypto_platform.settings import settings

# A fault is told within an interval and a tick.
INTERVAL_SECONDS = 15
# Since when this code has been able to tick.
BEGAN = datetime.now(UTC)

Look = Callable[[dg.SensorEvaluationContext, Book, datetime], None]


def _sensor(name: str, description: str, *looks: Look) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        book = Book(settings())
        for look in looks:
            look(context, book, datetime.now(UTC))
        for report in book.deliver():
            for title in report.posted:
                context.log.info("notified on %s: %s", report.channel, title)
            if report.error:
                context.log.warning("%s was not notified: %s", report.channel, report.error)
        return dg.SkipReason(f"{len(book.open())} alerts are open")

    return sensor


def _runs(context: dg.SensorEvaluationContext, book: Book, now: datetime) -> None:
    runs.watch(context.instance, book, settings(), now)
    runs.watch_backfills(context.instance, book, settings(), now)


def _checks(context: dg.SensorEvaluationContext, book: Book, now: datetime) -> None:
    checks.watch(context.instance, book, settings(), now)


def _freshness(context: dg.SensorEvaluationContext, book: Book, now: datetime) -> None:
    repository = context.repository_def
    assert repository  # noqa: S101
    graph = repository.asset_graph
    groups = {
        key: graph.get(key).group_name or ""
        for key in graph.materializable_asset_keys
        if graph.get(key).freshness_policy_or_from_metadata
    }
    late_assets.watch(context.instance, book, settings(), now, groups)


def _ticks(context: dg.SensorEvaluationContext, book: Book, now: datetime) -> None:
    repository = context.repository_def
    assert repository  # noqa: S101
    ticks.watch(context.instance, book, settings(), now, ticks.declared(repository), BEGAN)


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
