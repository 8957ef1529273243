"""Dagster's runs told to a collector of lineage: the run, its steps with what they read and write, dbt's models.

`openlineage-dagster` is no longer made and stops at Dagster 1.6. The community's `dagster-openlineage` names datasets
by their asset keys, which no other tool's events have, knows no inputs, and posts each of a year's partitions while the
run waits. So the executor tells here, with OpenLineage's own client.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, time
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import dagster as dg

from crypto_platform.connectors.openlineage import naming
from crypto_platform.connectors.openlineage.delivery import Delivery, check_installed
from crypto_platform.connectors.openlineage.naming import DatasetName
from crypto_platform.dagster_instance.internals import ExecutionPlan, PlanOrchestrationContext
from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.asset_keys import action_key, ledger_key, stage_key
from crypto_platform.settings import Settings, settings
from crypto_platform.transform.project import run_folder

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

PRODUCER = f"urn:crypto_platform:{version('crypto-platform')}"
# What a step's metadata calls the records that it wrote, the first that it has.
_WRITTEN = ("loaded", "messages", "bars", "actions")


def executor() -> dg.ExecutorDefinition:
    """Dagster's in-process executor, which tells what it executes where lineage is asked for.

    Raises:
        NotInstalledError: it is, and OpenLineage's packages are not there.
    """
    if not settings().tells_lineage:
        return dg.in_process_executor
    check_installed()

    @dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema.as_field())
    def telling(context: dg.InitExecutorContext) -> dg.Executor:
        create = dg.in_process_executor.executor_creation_fn
        assert create is not None  # noqa: S101
        return LineageExecutor(create(context), settings())

    return telling


class LineageExecutor(dg.Executor):
    """Executes as `inner` does. What goes wrong with telling is a warning in the run's log."""

    def __init__(self, inner: dg.Executor, settings: Settings) -> None:
        self._inner, self._settings = inner, settings

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        delivery = Delivery(self._settings)
        run = _Run(self._settings, plan_context, execution_plan, delivery.send)
        # Of a run that is interrupted nobody asks for a further event.
        outcome = "ABORT"
        try:
            for event in self._inner.execute(plan_context, execution_plan):
                delivery.guard(run.take, event)
                yield event
            outcome = "FAIL" if run.failed else "COMPLETE"
        finally:
            delivery.guard(run.end, outcome)
            for warning in delivery.close():
                plan_context.log.warning(warning)


class _Run:
    """One run: what it tells of Dagster's events. `send` takes what makes the events, which costs imports."""

    def __init__(
        self,
        settings: Settings,
        context: PlanOrchestrationContext,
        plan: ExecutionPlan,
        send: "Callable[[Callable[[], list[RunEvent]]], None]",
    ) -> None:
        self.failed = False
        self._settings, self._plan, self._send = settings, plan, send
        self._run = context.dagster_run
        self._assets = context.job.get_definition().asset_layer
        self._days = Days.of(self._run.tags)
        self._began = False
        # Of each step that runs: the metadata of its first materialisation.
        self._steps: dict[str, Mapping[str, Any]] = {}

    def take(self, event: dg.DagsterEvent) -> None:
        if not self._began:
            self._began = True
            self._tell(self._run.run_id, self._run.job_name, "START", type_="JOB")
        kind, step = event.event_type_value, event.step_key
        if step is None:
            return
        if kind == "STEP_START" and self._keys(step):
            self._steps[step] = {}
            self._step(step, "START")
        elif kind == "ASSET_MATERIALIZATION" and not self._steps.get(step, True):
            self._steps[step] = event.step_materialization_data.materialization.metadata
        elif kind in ("STEP_SUCCESS", "STEP_FAILURE"):
            failed = kind == "STEP_FAILURE"
            self.failed |= failed
            if step in self._steps:
                self._dbt(step)
                self._step(step, "FAIL" if failed else "COMPLETE", _error(event) if failed else None)
                del self._steps[step]

    def end(self, outcome: str) -> None:
        """`outcome`: OpenLineage's type of the event; steps that did not end are told so too."""
        for step in self._steps:
            self._step(step, outcome)
        self._tell(self._run.run_id, self._run.job_name, outcome, type_="JOB")

    def _keys(self, step: str) -> list[dg.AssetKey]:
        found = self._assets.get_selected_entity_keys_for_node(self._plan.get_step_by_key(step).node_handle)
        return sorted(key for key in found if isinstance(key, dg.AssetKey))

    def _is_dbt(self, step: str) -> bool:
        return any("dbt" in self._assets.get(key).kinds for key in self._keys(step))

    def _job(self, step: str) -> str:
        """The asset's name, whichever job of Dagster's makes it; of dbt's models the step's."""
        keys = self._keys(step)
        return keys[0].to_user_string() if len(keys) == 1 else step

    def _step_id(self, step: str) -> str:
        return str(uuid5(UUID(self._run.run_id), step))

    def _step(self, step: str, kind: str, error: str | None = None) -> None:
        # dbt's models are jobs of their own, within this one.
        keys = [] if self._is_dbt(step) else self._keys(step)
        parents = sorted({parent for key in keys for parent in self._assets.get(key).parent_keys})
        schemas = {key: self._schema_of(key) for key in (*keys, *parents)}
        written = next((found for name in _WRITTEN if (found := self._steps[step].get(name))), None)
        self._tell(
            self._step_id(step),
            self._job(step),
            kind,
            inputs=lambda: [_input(self._settings, key, schemas[key]) for key in parents],
            outputs=lambda: [_output(self._settings, key, schemas[key], parents, written) for key in keys],
            error=error,
            type_="ASSET",
        )

    def _schema_of(self, key: dg.AssetKey) -> Any:
        return self._assets.get(key).metadata.get("dagster/column_schema") if self._assets.has(key) else None

    def _dbt(self, step: str) -> None:
        if not self._is_dbt(step):
            return
        target = run_folder(self._settings, self._run.run_id)
        run_id, job = self._step_id(step), self._job(step)

        def events() -> "list[RunEvent]":
            from openlineage.common.provider.dbt.facets import ParentRunMetadata

            from crypto_platform.transform.lineage import dbt_events

            parent = ParentRunMetadata(
                run_id=run_id,
                job_name=job,
                job_namespace=self._settings.openlineage_namespace,
                root_parent_run_id=self._run.run_id,
                root_parent_job_name=self._run.job_name,
                root_parent_job_namespace=self._settings.openlineage_namespace,
            )
            # dbt ended before it ran anything.
            with suppress(FileNotFoundError):
                return dbt_events(self._settings, target, PRODUCER, parent)
            return []

        self._send(events)

    def _tell(
        self,
        run_id: str,
        job: str,
        kind: str,
        *,
        inputs: "Callable[[], list[InputDataset | None]]" = list,
        outputs: "Callable[[], list[OutputDataset | None]]" = list,
        error: str | None = None,
        type_: str,
    ) -> None:
        at = datetime.now(UTC)

        def events() -> "list[RunEvent]":
            from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
            from openlineage.client.facet_v2 import job_type_job

            namespace = self._settings.openlineage_namespace
            kind_of_job = job_type_job.JobTypeJobFacet("BATCH", "DAGSTER", type_)
            return [
                RunEvent(
                    eventType=RunState[kind],
                    eventTime=at.isoformat(),
                    producer=PRODUCER,
                    run=Run(run_id, self._run_facets(run_id, error)),
                    job=Job(namespace, job, {"jobType": kind_of_job}),
                    inputs=[found for found in inputs() if found],
                    outputs=[found for found in outputs() if found],
                )
            ]

        self._send(events)

    def _run_facets(self, run_id: str, error: str | None) -> dict[str, Any]:
        from openlineage.client.facet_v2 import error_message_run, nominal_time_run, parent_run, processing_engine_run

        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(dg.__version__, "dagster")
        }
        if self._days:
            start, end = (
                datetime.combine(day, time.min, UTC).isoformat() for day in (self._days.start, self._days.end)
            )
            facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(start, end)
        if run_id != self._run.run_id:
            job = parent_run.Job(self._settings.openlineage_namespace, self._run.job_name)
            facets["parent"] = parent_run.ParentRunFacet(parent_run.Run(self._run.run_id), job)
        if error is not None:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "PYTHON")
        return facets


def _error(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "the step failed"


@cache
def _stages() -> dict[dg.AssetKey, tuple[str, Dataset, str]]:
    """The feeds' assets that are not dbt's: the stage, its dataset, and the feed."""
    found: dict[dg.AssetKey, tuple[str, Dataset, str]] = {}
    for feed, spec in feeds().items():
        found |= {ledger_key(feed, dataset): ("raw", dataset, feed) for dataset in spec.datasets}
        for stage in ("alpaca", "kafka"):
            found[stage_key(feed, stage)] = (stage, BARS, feed)
            found[action_key(feed, stage)] = (stage, CORPORATE_ACTIONS, feed)
    return found


def dataset_name(settings: Settings, key: dg.AssetKey) -> DatasetName | None:
    """Where the asset's data is; None of an asset that is no data, as the dashboards."""
    stage, dataset, feed = _stages().get(key, (key.path[0], BARS, ""))
    if stage == "alpaca":
        bars = dataset is BARS
        return naming.lake_folder(
            settings, f"{feed}/{Timeframe.parse(feeds()[feed].timeframe).name if bars else dataset.name}"
        )
    if stage == "kafka":
        return naming.topic(settings, dataset.topic(feed))
    return None if stage == "superset" else naming.table(settings, stage, key.path[-1])


def _schema(schema: Any) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    table: dg.TableSchema | None = getattr(schema, "schema", None)
    if table is None:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(column.name, column.type, column.description, place)
        for place, column in enumerate(table.columns, 1)
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields)}


def _input(settings: Settings, key: dg.AssetKey, schema: Any) -> "InputDataset | None":
    from openlineage.client.event_v2 import InputDataset

    found = dataset_name(settings, key)
    return InputDataset(found.namespace, found.name, facets=_schema(schema)) if found else None


def _output(
    settings: Settings, key: dg.AssetKey, schema: Any, parents: list[dg.AssetKey], written: Any
) -> "OutputDataset | None":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    found = dataset_name(settings, key)
    if found is None:
        return None
    statistics: dict[str, Any] = {}
    if written is not None:
        count = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=int(written.value))
        statistics["outputStatistics"] = count
    facets = _schema(schema) | _columns(settings, key, parents)
    return OutputDataset(found.namespace, found.name, facets=facets, outputFacets=statistics)


def _columns(settings: Settings, key: dg.AssetKey, parents: list[dg.AssetKey]) -> dict[str, Any]:
    """The topic has the lake's fields as they are, the ledger's columns are the topic's fields."""
    from openlineage.client.facet_v2 import column_lineage_dataset as columns

    stage, dataset, _ = _stages().get(key, ("", BARS, ""))
    origins = [dataset_name(settings, parent) for parent in parents if parent in _stages()]
    if stage not in ("kafka", "raw") or not origins:
        return {}
    fields = {
        (field.wire if stage == "kafka" else field.column): columns.Fields(
            [columns.InputField(origin.namespace, origin.name, field.wire) for origin in origins if origin]
        )
        for field in dataset.fields
    }
    return {"columnLineage": columns.ColumnLineageDatasetFacet(fields)}
