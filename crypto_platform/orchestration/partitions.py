"""The daily partitions of the assets: a feed's from its own start date on, dbt's those of all feeds together."""

from datetime import date, timedelta

import dagster as dg

from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.feed_spec import FeedSpec, feeds


def daily(spec: FeedSpec) -> dg.DailyPartitionsDefinition:
    """A feed's UTC days from its start date to yesterday.

    Days without a session stay in: they materialise as zero bars with the reason.
    """
    return dg.DailyPartitionsDefinition(start_date=spec.start_date.isoformat())


def daily_of_all() -> dg.DailyPartitionsDefinition:
    """The UTC days of any feed, from the earliest start date on: what joins the feeds has all of them."""
    return daily(min(feeds().values(), key=lambda spec: spec.start_date))


def days(context: dg.AssetExecutionContext) -> list[date]:
    """The UTC days of a run, one for each partition of its range."""
    window = context.partition_time_window
    first, count = window.start.date(), (window.end - window.start).days
    return [first + timedelta(days=n) for n in range(count)]


def days_of_run(run: dg.DagsterRun) -> tuple[date, date] | None:
    """The first and the last UTC day of a run over partitions, for checks, whose steps have none; None without any."""
    days = Days.of(run.tags)
    return (days.start, days.end - timedelta(days=1)) if days else None
