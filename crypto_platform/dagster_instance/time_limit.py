"""The longest time of a run: from the days it is for, and what ends one that takes longer.

Dagster's monitoring ends a run past the limit in its tag, through the launcher; one of a command line, which no daemon
may be watching, ends itself.
"""

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import psutil

from crypto_platform.market.bars import Timeframe
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


# A job's, which also limits how many runs of a feed there are at once (dagster.yaml).
FEED_TAG = "crypto_platform/feed"
# The year of ten symbols went through at 49,000 a second (docs/explanation/performance.md).
LEAST_BARS_PER_SECOND = 2_000
# From being told to end to being killed.
GRACE_SECONDS = 20.0


def limit_tags(settings: Settings, tags: Mapping[str, str], feed: str = "") -> dict[str, str]:
    """The tag that limits a run with these tags; a limit that somebody gave it stays.

    Without a feed it may be of all of them: dbt's models join them.
    """
    from dagster import MAX_RUNTIME_SECONDS_TAG

    from crypto_platform.dagster_instance.run_days import Days

    if MAX_RUNTIME_SECONDS_TAG in tags:
        return {}
    days = Days.of(tags)
    specs = [feeds()[feed]] if feed in feeds() else list(feeds().values())
    bars = sum(_bars(spec, days.end - days.start) for spec in specs) if days else 0
    return {MAX_RUNTIME_SECONDS_TAG: str(round(longest_seconds(settings, bars)))}


def longest_seconds(settings: Settings, bars: int) -> float:
    """How long a run may take that may bring so many bars."""
    return settings.run_limit_minutes * 60 + bars / LEAST_BARS_PER_SECOND


def _bars(spec: FeedSpec, span: timedelta) -> int:
    """At the most: as if every market were always open."""
    return spec.most_symbols * int(span / Timeframe.parse(spec.timeframe).delta)


def end_process(process: psutil.Process, grace: float = GRACE_SECONDS) -> None:
    """Kill what does not end within `grace`: in native code that waits for ever, no signal is handled."""
    with suppress(psutil.NoSuchProcess):
        family = [*_children(process), process]
        _, alive = psutil.wait_procs([process], timeout=grace)
        for one in [*family, *(_children(process) if alive else [])]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


@contextmanager
def limited(instance: "DagsterInstance", process_tag: Mapping[str, str], seconds: float) -> Iterator[None]:
    """End the runs of this process, those with its tags, when the block takes longer than `seconds`.

    They are failed, dbt is killed and the main thread interrupted. If that does not help, this process ends, by a
    thread that needs no interpreter.
    """
    timer = threading.Timer(seconds, _end_own, (instance, process_tag, seconds))
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=2)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _end_own(instance: "DagsterInstance", process_tag: Mapping[str, str], seconds: float) -> None:
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = RunsFilter(tags=dict(process_tag), statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])
    if not (late := instance.get_runs(unfinished)):
        return
    for run in late:
        instance.report_run_failed(run, f"Exceeded maximum runtime of {int(seconds)} seconds.")
    for child in _children(psutil.Process()):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os.kill(os.getpid(), signal.SIGINT)


def _children(process: psutil.Process) -> list[psutil.Process]:
    """What the process started for itself; the sandbox's programs, which others use too, are a session of their own."""
    session = os.getsid(process.pid)
    found = []
    for child in process.children(recursive=True):
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(child.pid) == session:
                found.append(child)
    return found
