"""Dagster's default run launcher, which also tells whether a run's process still lives.

The code server reports a worker that dies under it, in a second. What it cannot report is one that dies after the
code server itself was killed, and a run of a killed command line: Dagster's own launcher has no health check, and
they would be "started" until `max_runtime_seconds`. The monitoring daemon asks this one every
`poll_interval_seconds`.
"""

from typing import TYPE_CHECKING

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from crypto_platform.abandoned import GONE, has_remote_code_server, is_gone, tags_of_this_host

if TYPE_CHECKING:
    from dagster import DagsterRun


class WatchedRunLauncher(DefaultRunLauncher):
    """Launches runs in the code server, wherever that is, and checks them.

    A run on this host is looked for among its processes, one on another host is asked for at its code server: one
    that does not answer now keeps its runs, one that answers without knowing the run was started anew.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        self._instance.add_run_tags(context.dagster_run.run_id, tags_of_this_host())
        super().launch_run(context)

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
        return not deserialize_value(answer, CanCancelExecutionResult).can_cancel
