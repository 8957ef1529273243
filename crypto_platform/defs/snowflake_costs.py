"""The daily build of what Snowflake costs (`transform.costs`), for whoever has granted it ACCOUNT_USAGE."""

import dagster as dg

from crypto_platform.settings import settings
from crypto_platform.transform.costs import build


@dg.op(description="MARTS.FCT_QUERY_COSTS of the last days; the set-up must have been run with --costs.")
def build_costs() -> None:
    build(settings())


@dg.job(description="Builds the credits by day, component, feed and model.")
def snowflake_costs() -> None:
    build_costs()


@dg.definitions
def costs() -> dg.Definitions:
    # Attributed credits of a UTC day are there eight hours after it.
    @dg.schedule(
        name="snowflake_costs_daily",
        job=snowflake_costs,
        cron_schedule="0 9 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Builds the costs once a day; not on the emulator, which meters nothing.",
    )
    def schedule() -> dg.RunRequest | dg.SkipReason:
        if settings().embedded_snowflake:
            return dg.SkipReason("SNOWFLAKE_ACCOUNT is not set: the emulator meters nothing")
        return dg.RunRequest()

    return dg.Definitions(jobs=[snowflake_costs], schedules=[schedule])
