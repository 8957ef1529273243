"""Runs whose command line was killed: they would hold their topic's pool for ever, since no daemon watches them."""

import os
import socket
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from dagster import DagsterInstance

HOST_TAG = "crypto_platform/host"
PROCESS_TAG = "crypto_platform/process"


def tags_of_this_process() -> dict[str, str]:
    """What tells later whether the process that executes a run still lives."""
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: _identity(os.getpid())}


def end_abandoned(instance: "DagsterInstance") -> list[str]:
    """Mark this host's unfinished runs of dead processes as failed and free their pools; returns their run ids."""
    import dagster as dg

    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED], tags={HOST_TAG: socket.gethostname()}
    )
    ended = []
    for run in instance.get_runs(unfinished):
        if run.tags[PROCESS_TAG] != _identity(int(run.tags[PROCESS_TAG].partition("@")[0])):
            instance.report_run_failed(run, "The process that executed this run is gone.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def _identity(pid: int) -> str:
    """`pid@start`, since a pid is given again; the start is empty when there is no such process."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time()}"
    except psutil.NoSuchProcess:
        return f"{pid}@"
