"""Dagster's names that are not public: all that this project uses, from here alone.

A new release may move or change them: this module is then the one to look at, with its test.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.job.asset_job import build_asset_job, get_asset_graph_for_job
from dagster._core.definitions.declarative_automation.operands.subset_automation_condition import (
    SubsetAutomationCondition,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateRecord
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, StepFailureData
from dagster._core.execution.api import execute_run_iterator
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.base import EventLogCursor, PlannedMaterializationInfo
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    GRPC_INFO_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData
from dagster._utils.error import SerializableErrorInfo
from dagster._utils.schedules import cron_string_iterator

__all__ = [
    "ASSET_CHECK_EVENTS",
    "ASSET_EVENTS",
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "FINISHED_STATUSES",
    "GRPC_INFO_TAG",
    "INDEX_SHARD_NAME",
    "MAX_RETRIES_TAG",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "SQLITE_BUSY_TIMEOUT_SECONDS",
    "WILL_RETRY_TAG",
    "AssetCheckEvaluationPlanned",
    "AssetGraph",
    "BulkActionStatus",
    "CanCancelExecutionRequest",
    "CanCancelExecutionResult",
    "CheckRunHealthResult",
    "ConfigurableClassData",
    "DagsterGrpcClient",
    "DagsterUserCodeUnreachableError",
    "EntitySubset",
    "EventLogCursor",
    "ExecutionPlan",
    "FreshnessState",
    "FreshnessStateRecord",
    "InstanceConcurrencyContext",
    "InstigatorState",
    "InstigatorTick",
    "InstigatorType",
    "LaunchRunContext",
    "PartitionBackfill",
    "PlanOrchestrationContext",
    "PlannedMaterializationInfo",
    "ScheduleInstigatorData",
    "SensorInstigatorData",
    "SerializableErrorInfo",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqliteEventLogStorage",
    "StepFailureData",
    "SubsetAutomationCondition",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "WorkerStatus",
    "add_partition_metadata",
    "build_asset_job",
    "code_server_class",
    "cron_string_iterator",
    "execute_in_process",
    "get_asset_graph_for_job",
]


def add_partition_metadata(
    context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add metadata to partitions of an asset that the step makes, by partition key.

    `context.add_asset_metadata` would go through the run's range and copy what was added before for each of them: a
    minute and a half a stage of 23 years of days.
    """
    step = context.get_step_execution_context()
    added: dict[Any, Mapping[str, Any]] = {
        AssetMetadataHandle(asset_key=key, partition_key=p): values for p, values in metadata.items()
    }
    before = step._metadata_accumulator.per_output_metadata
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata={**before, **added})


def code_server_class() -> Any:
    """The class of code servers, in a process that is one; else None."""
    # Imported by a code server alone: to import it here would cost every command.
    module = sys.modules.get("dagster._grpc.server")
    return module.DagsterApiServer if module else None


def execute_in_process(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    run_config: Mapping[str, object],
    tags: Mapping[str, str],
    selection: Collection[dg.AssetKey] | None,
) -> tuple[str, Iterator[dg.DagsterEvent]]:
    """A new run of the job, or of the assets of it that are selected: its id, and its events as it is executed.

    `JobDefinition.execute_in_process` would keep them all: over a gigabyte of a run over 23 years of days.
    """
    chosen = frozenset(selection) if selection is not None else None
    run = instance.create_run_for_job(
        job.get_subset(asset_selection=chosen) if chosen else job,
        run_config=run_config,
        tags={**job.run_tags, **tags},
        asset_selection=chosen,
    )
    return run.run_id, execute_run_iterator(InMemoryJob(job), run, instance)
