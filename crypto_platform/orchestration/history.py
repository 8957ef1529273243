"""What Dagster's instance knows of a feed's days: which are there, and which are being worked on."""

from collections.abc import Mapping
from datetime import date

import dagster as dg

from crypto_platform.dagster_instance.internals import NOT_FINISHED_STATUSES
from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.day_ranges import Range
from crypto_platform.orchestration.asset_keys import stage_key


def last_stage(feed: str) -> dg.AssetKey:
    """The asset that says which days of a feed are there: what dbt still lacks, its next build takes in."""
    return stage_key(feed, "raw")


def materialised(instance: dg.DagsterInstance, feed: str) -> set[date]:
    """The days that were loaded at least once."""
    return {date.fromisoformat(key) for key in instance.get_materialized_partitions(last_stage(feed))}


def in_flight(instance: dg.DagsterInstance, feed: str, tags: Mapping[str, str] | None = None) -> list[Range]:
    """The half-open ranges of UTC days that unfinished runs of the feed work on or wait for."""
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags=dict(tags or {})))
    of_feed = (r for r in runs if r.job_name == feed or last_stage(feed) in (r.asset_selection or ()))
    return [(days.start, days.end) for run in of_feed if (days := Days.of(run.tags))]
