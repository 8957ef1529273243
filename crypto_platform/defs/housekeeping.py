"""The nightly job that removes what nobody needs any more (`operate.housekeeping`)."""

from datetime import UTC, datetime

import dagster as dg

from crypto_platform.orchestration.automation.housekeeping import clean
from crypto_platform.settings import settings


@dg.op(description="Leftovers of killed writers and loads, and runs older than RUN_RETENTION_DAYS; never an only copy.")
def purge_expired(context: dg.OpExecutionContext) -> None:
    removed = clean(settings(), context.instance, datetime.now(UTC))
    for what, names in (("files of the lake", removed.lake), ("stage folders", removed.stage), ("runs", removed.runs)):
        context.log.info(f"{len(names)} {what} removed: {', '.join(names) or 'none'}")


@dg.job(description="Removes leftovers and old runs.")
def housekeeping() -> None:
    purge_expired()


@dg.definitions
def nightly() -> dg.Definitions:
    schedule = dg.ScheduleDefinition(
        name="housekeeping_nightly",
        job=housekeeping,
        cron_schedule="30 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(jobs=[housekeeping], schedules=[schedule])
