"""A daily run a feed; when it starts and what it asks for says `operate.daily`."""

from datetime import UTC, datetime

import dagster as dg

from crypto_platform.dagster_instance.run_days import range_tags
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.automation import daily
from crypto_platform.settings import settings


def _daily(feed: str, spec: FeedSpec) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{feed}_schedule",
        cron_schedule=daily.cron(spec),
        execution_timezone=daily.timezone(spec),
        job_name=feed,
        # Running, so that its ticks tell why nothing starts when nothing does.
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{feed}'s days since the last one that was materialised, after the newest is over, in one run.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = daily.due(context.instance, settings(), feed, context.scheduled_execution_time, datetime.now(UTC))
        context.log.info(due.why)
        if due.days is None:
            return dg.SkipReason(due.why)
        # Without a run key: it would be dropped should the same days be due again after a failure.
        return dg.RunRequest(tags={**range_tags(due.days), "dagster/priority": "10"})

    return schedule


@dg.definitions
def schedules() -> dg.Definitions:
    return dg.Definitions(schedules=[_daily(feed, spec) for feed, spec in feeds().items()])
