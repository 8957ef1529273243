"""Materialise a feed from the command line: one Dagster run, recorded in the instance that the UI shows."""

import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

from crypto_platform.dagster_instance.orphaned_runs import end_abandoned, tags_of_this_process
from crypto_platform.dagster_instance.time_limit import limit_tags, limited
from crypto_platform.market.day_ranges import days_in
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.settings import settings

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, DagsterEvent, Definitions

    from crypto_platform.connectors.lake import Lake
    from crypto_platform.ingestion.universe import Members

DBT = "dbt"


def feed_named(name: str) -> FeedSpec:
    """The feed of that name.

    Raises:
        ValueError: there is none; says which there are.
    """
    if name not in feeds():
        raise ValueError(f"there is no feed {name!r}: choose from {', '.join(feeds())}")
    return feeds()[name]


@dataclass(frozen=True)
class MaterializationRequest:
    """What to materialise: a feed's UTC days [start, end), all of its symbols or some.

    Raises:
        ValueError: the feed is unknown, the range is empty or leaves the partitions, or a symbol is not the feed's.
    """

    feed: str
    start: date
    end: date
    symbols: Sequence[str] = ()

    def __post_init__(self) -> None:
        spec = feed_named(self.feed)
        if self.start >= self.end:
            raise ValueError(f"[{self.start}, {self.end}) is empty: the end is exclusive, give a later day")
        today = datetime.now(UTC).date()
        if self.start < spec.start_date:
            raise ValueError(
                f"{self.start} is before the first partition of {self.feed}, {spec.start_date}: set an earlier "
                f"start_date in crypto_platform/defs/{self.feed}/defs.yaml"
            )
        if self.end > today:
            raise ValueError(f"{self.end} is too late: the last whole UTC day is {today - timedelta(days=1)}")
        # Of some symbols alone: what a run asks for is read when it asks.
        if self.symbols:
            from crypto_platform.connectors.lake import Lake

            self.chosen(Lake(settings().lake))

    def chosen(self, lake: "Lake") -> "Members":
        """Each day's symbols that are to be asked for.

        Raises:
            ValueError, LakeDayDamagedError: see `Universe.members` and `select`.
        """
        from crypto_platform.ingestion.universe import Universe, select

        universe = Universe(lake, self.feed, feed_named(self.feed))
        return select(self.feed, universe.members(days_in((self.start, self.end))), self.symbols)


@dataclass(frozen=True)
class Stage:
    """What one stage of a run did; `metadata` as its asset shows it in the UI."""

    name: str
    seconds: float
    metadata: dict[str, Any]

    @property
    def records(self) -> int | None:
        """The bars, actions or messages that it counts; None of dbt."""
        return next((self.metadata[name] for name in ("bars", "actions", "messages") if name in self.metadata), None)


@dataclass(frozen=True)
class Run:
    """A finished run; `errors` in the order they happened, empty when it succeeded; the stage that failed first."""

    run_id: str
    request: MaterializationRequest
    stages: list[Stage]
    errors: list[str]
    seconds: float
    failed_stage: str | None = None

    @property
    def ok(self) -> bool:
        return not self.errors


def materialize(
    request: MaterializationRequest,
    stages: Sequence[str] | None = None,
    tags: dict[str, str] | None = None,
    definitions: "Definitions | None" = None,
) -> Run:
    """Run the feed's job over the request's days in this process, of what comes before dbt only `stages` where given.

    The job is that of the project, or of `definitions`. The systems must be up and `DAGSTER_HOME` set.
    """
    # Dagster and dbt's part of it are seconds of imports that `--help` should not pay.
    import dagster as dg

    from crypto_platform.dagster_instance.internals import MAX_RETRIES_TAG, execute_in_process
    from crypto_platform.dagster_instance.run_days import range_tags
    from crypto_platform.definitions import defs
    from crypto_platform.orchestration.asset_keys import STAGES, action_key, stage_key

    job = (definitions or defs()).resolve_job_def(request.feed)
    left_out = [stage for stage in STAGES if stages is not None and stage not in stages]
    skipped = [key(request.feed, stage) for stage in left_out for key in (stage_key, action_key)]
    selected = [key for key in job.asset_layer.selected_asset_keys if key not in skipped] if skipped else None
    started = datetime.now(UTC)
    days = range_tags((request.start, request.end))
    limit = limit_tags(settings(), days | (tags or {}), request.feed)
    longest = float((limit | (tags or {}))[dg.MAX_RUNTIME_SECONDS_TAG])
    own = tags_of_this_process()
    # dbt's lines would run through the caller's own output; they are in its log, errors in the run's.
    with dg.DagsterInstance.get() as instance, redirect_stdout(StringIO()):
        end_abandoned(instance)
        with limited(instance, own, longest):
            run_id, events = execute_in_process(
                job,
                instance,
                run_config={
                    "resources": {"selection": {"config": {"symbols": list(request.symbols)}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                tags={
                    **days,
                    **own,
                    **limit,
                    # A daemon would repeat it with the bars of another source.
                    MAX_RETRIES_TAG: "0",
                    **(tags or {}),
                },
                selection=selected,
            )
            told = _Told()
            for event in events:
                told.take(event)
    interrupted = [] if told.succeeded else [f"The run was interrupted; it may take {longest:.0f} s."]
    return Run(
        run_id=run_id,
        request=request,
        stages=_stages(told, request.feed),
        errors=told.errors + told.failed_checks or interrupted,
        seconds=(datetime.now(UTC) - started).total_seconds(),
        failed_stage=told.failed_step and _stage_names(request.feed).get(told.failed_step, DBT),
    )


@dataclass
class _Told:
    """What is kept of a run's events: of a long range there are too many to keep.

    `metadata`: of each step's first materialisation. `seconds`: of each step that ended.
    """

    succeeded: bool = False
    failed_step: str | None = None
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    # Dagster's own error gives no more than the checks' names.
    failed_checks: list[str] = field(default_factory=list)
    _began: dict[str, float] = field(default_factory=dict)

    def take(self, event: "DagsterEvent") -> None:
        step = event.step_key or ""
        if event.is_step_start:
            self._began[step] = time.monotonic()
        elif event.is_step_success or event.is_step_failure:
            self.seconds[step] = time.monotonic() - self._began.get(step, time.monotonic())
        elif event.is_step_materialization and step not in self.metadata:
            found = event.step_materialization_data.materialization.metadata
            self.metadata[step] = {name: value.value for name, value in found.items()}
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._take_check(event.asset_check_evaluation_data)
        if event.is_step_failure and self.failed_step is None:
            self.failed_step = step
        self.succeeded |= event.is_job_success
        if event.is_failure:
            self.errors.append(_error(event))

    def _take_check(self, check: "AssetCheckEvaluation") -> None:
        if check.blocking and not check.passed and check.description and check.severity.value == "ERROR":
            remediation = check.metadata.get("remediation")
            told = f" ({remediation.value})" if remediation else ""
            self.failed_checks.append(f"{check.check_name}: {check.description}{told}")


def _error(event: "DagsterEvent") -> str:
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else event.message or event.event_type_value


def _stages(told: _Told, feed: str) -> list[Stage]:
    names = _stage_names(feed)
    return [
        Stage(names.get(step, DBT), told.seconds.get(step, 0.0), metadata) for step, metadata in told.metadata.items()
    ]


def _stage_names(feed: str) -> dict[str, str]:
    """What the steps of a feed's stages are called; every other is dbt's."""
    from crypto_platform.orchestration.asset_keys import STAGES, action_key, stage_key

    names = {stage_key(feed, stage).to_python_identifier(): stage for stage in STAGES}
    return names | {action_key(feed, stage).to_python_identifier(): f"{stage} (corporate actions)" for stage in STAGES}
