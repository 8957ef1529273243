"""Launch runs and backfills in the UI's way, by GraphQL, and see how they end."""

import time
from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from crypto_platform.dagster_instance.graphql import ask
from crypto_platform.settings import CODE_LOCATION, Settings

_RUN = """
mutation ($params: ExecutionParams!) {
  it: launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } ... on PipelineNotFoundError { message }
  }
}
"""
_BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  it: launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
POLL_SECONDS = 0.5


class LaunchError(RuntimeError):
    """Dagster did not launch it."""


def launch(
    settings: Settings, job: str = "__ASSET_JOB", assets: Sequence[dg.AssetKey] = (), day: date | None = None
) -> str:
    """Launch a run of the job, or of these assets, for a day or without one; its run id."""
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": CODE_LOCATION,
        "jobName": job,
    }
    chosen = {"assetSelection": [{"path": key.path} for key in assets]} if assets else {}
    tags = [{"key": "dagster/partition", "value": day.isoformat()}] if day else []
    params = {"selector": {**selector, **chosen}, "executionMetadata": {"tags": tags}}
    answer = ask(settings, _RUN, params=params)["it"]
    if "run" not in answer:
        raise LaunchError(f"{job} was not launched: {answer}")
    return str(answer["run"]["runId"])


def backfill(settings: Settings, assets: Sequence[dg.AssetKey], first: date, days: int) -> str:
    """Launch a backfill of these days; its id."""
    params = {
        "assetSelection": [{"path": key.path} for key in assets],
        "partitionNames": [(first + timedelta(days=n)).isoformat() for n in range(days)],
    }
    answer = ask(settings, _BACKFILL, params=params)["it"]
    if "backfillId" not in answer:
        raise LaunchError(f"the backfill was not launched: {answer}")
    return str(answer["backfillId"])


def ended(instance: dg.DagsterInstance, run_id: str, seconds: float) -> float:
    """Wait until the run has ended; when it did, in seconds since 1970.

    Raises:
        TimeoutError: it has not.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = instance.get_run_record_by_id(run_id)
        if record and record.dagster_run.is_finished and record.end_time:
            return record.end_time
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"run {run_id} has not ended in {seconds:g} s")


def worker(instance: dg.DagsterInstance, run_id: str, seconds: float) -> int:
    """Wait until the run's process works; its pid.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
        started = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_START).records
        for record in events if started else []:
            event = record.event_log_entry.dagster_event
            if event and (pid := event.engine_event_data.metadata.get("pid")):
                return int(str(pid.value))
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"run {run_id} has not begun in {seconds:g} s")
