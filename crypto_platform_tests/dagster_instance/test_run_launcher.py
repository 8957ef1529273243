"""Runs whose process is killed: by whom it is noticed, and what becomes of their pools."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import psutil
import pytest
import requests
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._daemon.monitoring import execute_run_monitoring_iteration
from dagster._grpc.types import CanCancelExecutionResult

from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.dagster_instance.orphaned_runs import GONE, HOST_TAG, PROCESS_TAG, end_abandoned, tags_of_this_host
from crypto_platform.dagster_instance.run_launcher import HealthCheckedRunLauncher
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.services import PIPELINE, PLATFORM
from crypto_platform.settings import Settings

LAUNCH = """
mutation Launch($tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {jobName: "crypto", repositoryName: "__repository__", repositoryLocationName: "crypto_platform"},
    runConfigData: {}, executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""


@pytest.fixture
def instance(fresh_settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(fresh_settings))) as opened:
        yield opened


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a run's."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def started_run(instance: dg.DagsterInstance, worker: subprocess.Popen[bytes], **tags: str) -> dg.DagsterRun:
    """A run that `worker` executes, as far as the instance knows."""
    run = instance.create_run_for_job(made_job, tags={**tags_of_this_host(), **tags})
    instance.report_engine_event(
        f"Started process for run (pid: {worker.pid}).", run, EngineEventData.in_process(worker.pid)
    )
    instance.report_dagster_event(
        dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name), run.run_id
    )
    return known(instance, run)


@dg.job
def made_job() -> None:
    pass


def known(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    assert isinstance(instance.run_launcher, HealthCheckedRunLauncher)
    return instance.run_launcher.check_run_worker_health(known(instance, run)).status


def test_the_monitoring_fails_a_run_whose_process_was_killed(
    instance: dg.DagsterInstance, worker: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, worker)
    context: Any = type("Context", (), {"instance": instance, "create_request_context": lambda self: None})()
    assert list(execute_run_monitoring_iteration(context, dg.get_dagster_logger())) == [None]
    assert known(instance, run).status == dg.DagsterRunStatus.STARTED

    worker.kill()  # not waited for: a zombie is gone as well
    psutil.wait_procs([psutil.Process(worker.pid)], timeout=10)
    assert list(execute_run_monitoring_iteration(context, dg.get_dagster_logger())) == [None]
    assert known(instance, run).status == dg.DagsterRunStatus.FAILURE
    (failure,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert GONE in failure.message
    assert known(instance, run).tags["dagster/will_retry"] == "true"


def test_another_process_with_the_number_of_the_worker_is_not_the_worker(
    instance: dg.DagsterInstance, worker: subprocess.Popen[bytes]
) -> None:
    born = psutil.Process(worker.pid).create_time()
    assert health(instance, started_run(instance, worker, **{PROCESS_TAG: f"{worker.pid}@{born}"})) == (
        WorkerStatus.RUNNING
    )
    assert health(instance, started_run(instance, worker, **{PROCESS_TAG: f"{worker.pid}@{born - 3600}"})) == (
        WorkerStatus.NOT_FOUND
    )


def test_a_run_of_another_container_is_not_looked_for_here(
    instance: dg.DagsterInstance, worker: subprocess.Popen[bytes]
) -> None:
    other = started_run(instance, worker, **{HOST_TAG: f"{socket.gethostname()} pid:[1]"})
    mine = started_run(instance, worker)
    worker.kill()
    worker.wait()
    assert end_abandoned(instance) == [mine.run_id]
    assert health(instance, other) is WorkerStatus.RUNNING


def test_a_run_on_another_host_is_its_code_servers_to_know(
    instance: dg.DagsterInstance, worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []

    class Client:
        def __init__(self, **where: Any) -> None:
            assert where["host"] == "code-location"

        def can_cancel_execution(self, request: Any, timeout: int) -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return dg.serialize_value(CanCancelExecutionResult(can_cancel=answer))

    monkeypatch.setattr("dagster._grpc.client.DagsterGrpcClient", Client)
    where = json.dumps({"host": "code-location", "port": 4000})
    # The daemon that launched it is here, its process is not.
    run = started_run(instance, worker, **{GRPC_INFO_TAG: where})
    worker.kill()
    for answer, status in (
        (True, WorkerStatus.RUNNING),
        (DagsterUserCodeUnreachableError("no answer"), WorkerStatus.RUNNING),
        (False, WorkerStatus.NOT_FOUND),
    ):
        answers.append(answer)
        assert health(instance, run) == status


def test_without_a_daemon_the_next_command_line_ends_what_was_abandoned(
    instance: dg.DagsterInstance, worker: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, worker)
    assert end_abandoned(instance) == []
    worker.kill()
    worker.wait()
    assert end_abandoned(instance) == [run.run_id]
    assert known(instance, run).status == dg.DagsterRunStatus.FAILURE


def awaited(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 240
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_with_its_code_server_fails_and_frees_its_pool(
    fresh_settings: Settings,
) -> None:
    """All of it by the daemon of `crypto-platform up`; the run asks again and again for an Alpaca that is not there."""
    chosen = fresh_settings.model_copy(update={"sandbox_startup_timeout_seconds": 400, "alpaca_max_attempts": 1000})
    with (
        supervise.sandbox(chosen, set(PLATFORM) - set(PIPELINE)) as effective,
        dg.DagsterInstance.from_config(str(effective.dagster_home)) as instance,
    ):
        slots = instance.event_log_storage
        tags = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-02"}
        answer = requests.post(
            f"http://127.0.0.1:{effective.dagster_ui_port}/graphql",
            json={
                "query": LAUNCH,
                "variables": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
            },
            timeout=60,
        ).json()["data"]["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run_id = answer["run"]["runId"]
        awaited(lambda: run_id in slots.get_concurrency_run_ids(), "the run does not get to its pool")
        (event, *_) = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records[-1:]
        process = psutil.Process(int(event.event_log_entry.dagster_event.engine_event_data.metadata["pid"].value))
        parents = process.parents()
        if sys.platform == "linux":
            assert "multiprocessing.forkserver" in " ".join(parents[0].cmdline()), "the run imported everything itself"
        code_server = next(parent for parent in parents if "grpc" in parent.cmdline())
        started = [*code_server.children(recursive=True), code_server]
        code_server.kill()
        process.kill()
        gone, _ = psutil.wait_procs(started, timeout=60)
        assert set(gone) == set(started), "something outlives its code server"

        awaited(lambda: instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE, "the run goes on")
        awaited(lambda: run_id not in slots.get_concurrency_run_ids(), "it keeps its place in the pool")
