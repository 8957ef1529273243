"""Events about many partitions of an asset: told apart, made one, and made rows of."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import dagster as dg
import orjson

from crypto_platform.dagster_instance.internals import AssetCheckEvaluationPlanned

# Stands for the partition in the event that the rows of many are made from.
_PARTITION = "5d2f9c1e-partition-of-the-event"


@dataclass(frozen=True)
class PlannedRange:
    """What a run over many partitions has planned of an asset: the partitions, and where it is stored."""

    storage_id: int
    run_id: str
    partitions: Collection[str]


def partitions_planned(serialized: str) -> Collection[str]:
    """The partitions that a planned event, as it is stored, is about; none where it is of the whole asset."""
    subset = dg.deserialize_value(serialized, dg.EventLogEntry).get_dagster_event().partitions_subset
    return frozenset(subset.get_partition_keys()) if subset else ()


def planned_of_one(event: dg.EventLogEntry) -> dg.EventLogEntry:
    """A planned materialisation of one partition as Dagster's own storage has it: by key; other events as they are."""
    planned = event.get_dagster_event()
    if planned.partitions_subset is None or len(planned.partitions_subset) != 1:
        return event
    (partition,) = planned.partitions_subset.get_partition_keys()
    return _with_data(
        event,
        planned.asset_materialization_planned_data._replace(partition=partition, partitions_subset=None),
    )


def planned_of_asset(event: dg.EventLogEntry) -> dg.EventLogEntry:
    """A planned check of many partitions as one of the asset, as which it is evaluated; other events as they are.

    Dagster would store a row a partition, and none of them would ever get its evaluation.
    """
    planned = event.dagster_event.event_specific_data if event.dagster_event else None
    if not isinstance(planned, AssetCheckEvaluationPlanned):
        return event
    if planned.partitions_subset is None or len(planned.partitions_subset) == 1:
        return event
    return _with_data(event, AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name))


def alike(events: Sequence[dg.EventLogEntry]) -> Iterator[list[dg.EventLogEntry]]:
    """The events in order, together where consecutive ones are materialisations that differ in the partition alone."""
    for _, group in groupby(events, key=_without_partition):
        yield list(group)


def of_partitions(group: Sequence[dg.EventLogEntry]) -> dg.EventLogEntry:
    """One event for materialisations that are alike."""
    first, last = (event.get_dagster_event().partition for event in (group[0], group[-1]))
    message = f"Materialized {len(group):,} partitions of {_key(group[0])}, {first} to {last}."
    one = _with_partition(group[0], None)
    return one._replace(user_message=message, dagster_event=one.get_dagster_event()._replace(message=message))


def partition_rows(
    group: Sequence[dg.EventLogEntry], to_row: Callable[[dg.EventLogEntry], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of materialisations that are alike, of which `to_row` makes one: serialising is what takes the time."""
    row = to_row(_with_partition(group[0], _PARTITION))
    parts = row["event"].split(f'"{_PARTITION}"')
    keys = [event.get_dagster_event().partition for event in group]
    return [{**row, "partition": key, "event": orjson.dumps(key).decode().join(parts)} for key in keys]


def _without_partition(event: dg.EventLogEntry) -> Any:
    dagster_event = event.get_dagster_event()
    if not dagster_event.is_step_materialization or dagster_event.partition is None:
        return id(event)
    materialization = dagster_event.step_materialization_data.materialization
    return event.run_id, dagster_event.step_key, materialization._replace(partition=None)


def _key(event: dg.EventLogEntry) -> str:
    key = event.get_dagster_event().asset_key
    return key.to_user_string() if key else ""


def _with_partition(event: dg.EventLogEntry, partition: str | None) -> dg.EventLogEntry:
    data = event.get_dagster_event().step_materialization_data
    return _with_data(event, data._replace(materialization=data.materialization._replace(partition=partition)))


def _with_data(event: dg.EventLogEntry, data: Any) -> dg.EventLogEntry:
    return event._replace(dagster_event=event.get_dagster_event()._replace(event_specific_data=data))
