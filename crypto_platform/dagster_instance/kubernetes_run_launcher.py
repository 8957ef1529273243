"""Dagster's launcher of runs as Kubernetes' jobs, which also gives each run its time limit.

It needs the extra `kubernetes`; DAGSTER_RUN_LAUNCHER_FILE names it (docs/how-to/kubernetes.md). Whether a run still
lives Kubernetes tells: the job's status.
"""

from dagster_k8s import K8sRunLauncher

from crypto_platform.dagster_instance.internals import LaunchRunContext
from crypto_platform.dagster_instance.orphaned_runs import HOST_TAG, PROCESS_TAG
from crypto_platform.dagster_instance.time_limit import FEED_TAG, limit_tags
from crypto_platform.settings import settings

# No host has it as its name: nobody looks for the run among the processes of their own.
_ELSEWHERE = {HOST_TAG: "a job of Kubernetes", PROCESS_TAG: ""}


class KubernetesRunLauncher(K8sRunLauncher):
    """Launches each run as a job; configured as `dagster_k8s.K8sRunLauncher` is."""

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        limit = limit_tags(settings(), run.tags, run.tags.get(FEED_TAG, ""))
        self._instance.add_run_tags(run.run_id, _ELSEWHERE | limit)
        super().launch_run(context)
