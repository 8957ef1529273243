"""The one daily partitions definition of every asset."""

from datetime import date, timedelta
from functools import lru_cache

import dagster as dg

from crypto_platform.feeds.spec import feeds


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
