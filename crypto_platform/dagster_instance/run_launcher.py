"""Dagster's default run launcher, which also tells whether a run's process still lives.

The code server reports a worker that dies under it, in a second. What it cannot report is one that dies after the
code server itself was killed, and a run of a killed command line: Dagster's own launcher has no health check, and
they would be "started" until `max_runtime_seconds`. The monitoring daemon asks this one every
`poll_interval_seconds`.
"""

import threading
from typing import TYPE_CHECKING

import dagster as dg

from crypto_platform.dagster_instance.internals import (
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    LaunchRunContext,
    WorkerStatus,
)
from crypto_platform.dagster_instance.orphaned_runs import (
    GONE,
    has_remote_code_server,
    is_gone,
    process_of,
    tags_of_this_host,
)
from crypto_platform.dagster_instance.time_limit import FEED_TAG, end_process, limit_tags
from crypto_platform.settings import settings

if TYPE_CHECKING:
    from dagster import DagsterRun


class HealthCheckedRunLauncher(dg.DefaultRunLauncher):
    """Launches runs in the code server, wherever that is, and checks them.

    A run on this host is looked for among its processes, one on another host is asked for at its code server: one
    that does not answer now keeps its runs, one that answers without knowing the run was started anew.

    Each run is given the longest time it may take, after which the monitoring has it ended here.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        limit = limit_tags(settings(), run.tags, run.tags.get(FEED_TAG, ""))
        self._instance.add_run_tags(run.run_id, tags_of_this_host() | limit)
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        process = process_of(self._instance, run) if run and not run.is_finished else None
        told = super().terminate(run_id)
        if process is None:
            return told
        if not told:
            # Of a command line, which no code server knows.
            process.terminate()
        threading.Thread(target=end_process, args=(process,), daemon=True).start()
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: "DagsterRun") -> CheckRunHealthResult:
        gone = is_gone(self._instance, run) or self._is_forgotten(run)
        return (
            CheckRunHealthResult(WorkerStatus.NOT_FOUND, GONE) if gone else CheckRunHealthResult(WorkerStatus.RUNNING)
        )

    def _is_forgotten(self, run: "DagsterRun") -> bool:
        """Whether the code server of a run, on another host, does not know it."""
        client = self._get_grpc_client_for_termination(run.run_id) if has_remote_code_server(run) else None
        if client is None:
            return False
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=10)
        except DagsterUserCodeUnreachableError:
            return False
        return not dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel
