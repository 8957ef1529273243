"""The sensors that have gaps of ours asked for again (`operate.repair`), one a feed."""

from datetime import UTC, datetime

import dagster as dg

from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.automation import repair
from crypto_platform.orchestration.automation.daily import reason_not_to_ask
from crypto_platform.settings import settings


def _repair(feed: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{feed}_gap_backfill",
        job_name=feed,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests days of {feed} with gaps of the class not_ingested again, until dbt finds them closed "
        "or the vendor's. Of days that were never requested it says what a backfill would take.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # From another source than the day's, a repair would be a correction.
        if reason := reason_not_to_ask(settings()):
            return dg.SensorResult(skip_reason=reason)

        def gaps() -> list[repair.Gap]:
            from crypto_platform.connectors.snowflake.connection import connect

            with connect(settings(), "sensors") as connection:
                return repair.gaps_of_ours(connection, feed)

        state = repair.State.of(context.cursor)
        found = repair.tick(context.instance, feed, state, gaps, datetime.now(UTC), settings())
        context.log.info(found.why)
        requests = [dg.RunRequest(run_config=r.run_config, tags=r.tags) for r in found.repairs]
        return dg.SensorResult(
            run_requests=requests,
            cursor=found.state.cursor,
            skip_reason=None if requests else found.why,
        )

    return sensor


@dg.definitions
def repairs() -> dg.Definitions:
    return dg.Definitions(sensors=[_repair(feed) for feed in feeds()])
