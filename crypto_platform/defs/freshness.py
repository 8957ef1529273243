"""Whether the feeds are up to date: the checks, and the sensor that looks at them."""

from datetime import UTC, datetime

import dagster as dg

from crypto_platform.orchestration.checks.freshness import asset_checks, tick
from crypto_platform.settings import settings


@dg.definitions
def freshness() -> dg.Definitions:
    @dg.sensor(
        minimum_interval_seconds=settings().freshness_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the check of a feed that is late, or up to date again.",
    )
    def feed_freshness_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return tick(context.instance, context.cursor, datetime.now(UTC))

    return dg.Definitions(asset_checks=asset_checks(), sensors=[feed_freshness_sensor])
