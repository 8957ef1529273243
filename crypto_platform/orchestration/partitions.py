"""The one daily partitions definition of every asset."""

from datetime import date, timedelta
from functools import lru_cache

import dagster as dg

from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.feed_spec import feeds


@lru_cache(maxsize=1)
def daily() -> dg.DailyPartitionsDefinition:
    """UTC days from the earliest start date of all feeds to yesterday.

    Days without a session stay in: they materialise as zero bars with the reason, so that every asset of every
    feed shares these partitions.
    """
    return dg.DailyPartitionsDefinition(start_date=min(f.start_date for f in feeds().values()).isoformat())


def days(context: dg.AssetExecutionContext) -> list[date]:
    """The UTC days of a run, one for each partition of its range."""
    window = context.partition_time_window
    first, count = window.start.date(), (window.end - window.start).days
    return [first + timedelta(days=n) for n in range(count)]


def days_of_run(run: dg.DagsterRun) -> tuple[date, date] | None:
    """The first and the last UTC day of a run over partitions, for checks, whose steps have none; None without any."""
    days = Days.of(run.tags)
    return (days.start, days.end - timedelta(days=1)) if days else None
