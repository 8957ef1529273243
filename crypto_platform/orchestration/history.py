"""What Dagster's instance knows of a feed's days: which are there, and which are being worked on."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from crypto_platform.market.day_ranges import Range

if TYPE_CHECKING:
    from collections.abc import Mapping

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def last_stage(feed: str) -> dg.AssetKey:
    """The asset that says which days of a feed are there: what dbt still lacks, its next build takes in."""
    return dg.AssetKey(["raw", f"{feed}_bars"])


def materialised(instance: dg.DagsterInstance, feed: str) -> set[date]:
    """The days that were loaded at least once."""
    return {date.fromisoformat(key) for key in instance.get_materialized_partitions(last_stage(feed))}


def in_flight(instance: dg.DagsterInstance, feed: str, tags: "Mapping[str, str] | None" = None) -> list[Range]:
    """The half-open ranges of UTC days that unfinished runs of the feed work on or wait for."""
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags=dict(tags or {})))
    of_feed = (r for r in runs if r.job_name == feed or last_stage(feed) in (r.asset_selection or ()))
    return [found for run in of_feed if (found := days_of(run.tags))]


def days_of(tags: "Mapping[str, str]") -> Range | None:
    """The half-open range of days that a run's tags name."""
    first = tags.get(RANGE_START_TAG) or tags.get("dagster/partition")
    last = tags.get(RANGE_END_TAG) or first
    if not first or not last:
        return None
    return date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1)


def range_tags(days: Range) -> dict[str, str]:
    """The tags of one run over the half-open range of days."""
    start, end = days
    return {RANGE_START_TAG: start.isoformat(), RANGE_END_TAG: (end - timedelta(days=1)).isoformat()}
