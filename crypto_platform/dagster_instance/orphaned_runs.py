"""Runs whose process was killed: nothing in them can say so any more, and they would hold their pools for ever."""

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

HOST_TAG = "crypto_platform/host"
PROCESS_TAG = "crypto_platform/process"
GONE = "The process that executed this run is gone."

# Between a process's start as the kernel counts it, from boot, and the clock.
_CLOCKS_DIFFER_SECONDS = 2.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def tags_of_this_host() -> dict[str, str]:
    """What a run that is launched here is given, also when it repeats one of a command line."""
    return {HOST_TAG: _this_host(), PROCESS_TAG: ""}


def tags_of_this_process() -> dict[str, str]:
    """What tells of a run, before its first event, whether the process that executes it still lives."""
    return {HOST_TAG: _this_host(), PROCESS_TAG: f"{os.getpid()}@{psutil.Process().create_time()}"}


def has_remote_code_server(run: "DagsterRun") -> bool:
    """Whether the code server that executes the run is on another host, whoever launched it."""
    from crypto_platform.dagster_instance.internals import GRPC_INFO_TAG

    return json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("host", "localhost") not in _LOOPBACK


def is_gone(instance: "DagsterInstance", run: "DagsterRun") -> bool:
    """Whether the process that executes an unfinished run has ended; False of another host's and while unknown."""
    known = _known_process(instance, run)
    return known is not None and not _lives(*known)


def process_of(instance: "DagsterInstance", run: "DagsterRun") -> psutil.Process | None:
    """The process on this host that executes an unfinished run; None when it is elsewhere, has ended or is unknown."""
    known = _known_process(instance, run)
    return psutil.Process(known[0]) if known is not None and _lives(*known) else None


def end_abandoned(instance: "DagsterInstance") -> list[str]:
    """Mark this host's unfinished runs of dead processes as failed and free their pools; returns their run ids.

    For where no daemon watches; with one, `run_launcher` tells it.
    """
    import dagster as dg

    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
        tags={HOST_TAG: _this_host()},
    )
    ended = [run for run in instance.get_runs(unfinished) if is_gone(instance, run)]
    for run in ended:
        instance.report_run_failed(run, GONE)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in ended]


def _this_host() -> str:
    """The name of what this process's number is known in: containers may share the machine's name."""
    processes = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {processes.readlink()}" if processes.exists() else socket.gethostname()


def _known_process(instance: "DagsterInstance", run: "DagsterRun") -> tuple[int, float] | None:
    """Pid of the process on this host that executes a run, and when it had it; None of another host's."""
    if run.tags.get(HOST_TAG) != _this_host() or has_remote_code_server(run):
        return None
    pid, _, started = run.tags.get(PROCESS_TAG, "").partition("@")
    return (int(pid), float(started)) if started else _first_process(instance, run.run_id)


def _first_process(instance: "DagsterInstance", run_id: str) -> tuple[int, float] | None:
    """Pid of a run's worker, and when (s since 1970) it said so; None before it did."""
    from dagster import DagsterEventType

    for record in instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT, limit=20).records:
        event = record.event_log_entry.dagster_event
        if event and (pid := event.engine_event_data.metadata.get("pid")):
            return int(str(pid.value)), record.event_log_entry.timestamp
    return None


def _lives(pid: int, by: float) -> bool:
    """Whether the process that had `pid` at `by` (s since 1970) runs; a later one with its number is another."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= by + _CLOCKS_DIFFER_SECONDS
    except psutil.NoSuchProcess:
        return False
