"""A run that takes too long is ended, whatever it hangs in, told, and can be run again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster import MAX_RUNTIME_SECONDS_TAG
from dagster._core.events import EngineEventData
from dagster._daemon.monitoring import execute_run_monitoring_iteration

from crypto_platform.dagster_instance import time_limit
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.dagster_instance.orphaned_runs import tags_of_this_host
from crypto_platform.dagster_instance.time_limit import limit_tags
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import Settings
from crypto_platform_tests.monitoring.conftest import Watched

# Neither Ctrl-C nor SIGTERM ends it, as neither ends a process that waits in native code for ever.
HANGS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def days(first: str, last: str) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def test_the_limit_follows_from_the_bars_that_the_run_may_bring(fresh_settings: Settings) -> None:
    def limit(feed: str, **tags: str) -> float:
        return float(limit_tags(fresh_settings, tags, feed)[MAX_RUNTIME_SECONDS_TAG])

    hour = fresh_settings.run_limit_minutes * 60
    assert limit("") == hour
    assert limit("crypto", **days("2026-03-01", "2026-03-01")) == pytest.approx(hour, rel=0.01)
    symbols = len(feeds()["crypto"].symbols)
    year = limit("crypto", **days("2025-01-01", "2025-12-31"))
    assert year == pytest.approx(hour + 365 * 1440 * symbols / 2_000, abs=1)
    assert limit("", **days("2025-01-01", "2025-12-31")) > year, "of all feeds"


def test_a_limit_that_the_run_has_stays(fresh_settings: Settings) -> None:
    assert limit_tags(fresh_settings, {MAX_RUNTIME_SECONDS_TAG: "7"}, "crypto") == {}


@pytest.fixture
def instance(fresh_settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(fresh_settings))) as opened:
        yield opened


@dg.job
def hanging() -> None:
    pass


@pytest.mark.slow
def test_the_monitoring_ends_a_run_that_hangs_and_it_can_be_run_again(
    instance: dg.DagsterInstance, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crypto_platform.dagster_instance import run_launcher
    from crypto_platform.monitoring import runs

    end = time_limit.end_process
    monkeypatch.setattr(run_launcher, "end_process", lambda process: end(process, grace=0.5))
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE) as worker:
        assert worker.stdout and worker.stdout.readline()
        run = instance.create_run_for_job(hanging, tags={**tags_of_this_host(), MAX_RUNTIME_SECONDS_TAG: "1"})
        instance.report_engine_event("Started process.", run, EngineEventData.in_process(worker.pid))
        started = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
        instance.report_dagster_event(started, run.run_id)
        context: Any = type("Context", (), {"instance": instance, "create_request_context": lambda self: None})()
        time.sleep(1.2)
        assert list(execute_run_monitoring_iteration(context, dg.get_dagster_logger())) == [None]
        worker.wait(timeout=10)

    ended = instance.get_run_by_id(run.run_id)
    assert ended and ended.status == dg.DagsterRunStatus.FAILURE
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    runs.watch(instance, watched.manager, watched.settings, watched.clock())
    [alert] = watched.open()
    assert alert.cause == "Exceeded maximum runtime of 1 seconds."
    assert hanging.execute_in_process(instance=instance).success
    runs.watch(instance, watched.manager, watched.settings, watched.clock())
    assert watched.open() == []


OWN = """
import sys, time
import dagster as dg
from crypto_platform.dagster_instance import time_limit
from crypto_platform.dagster_instance.orphaned_runs import tags_of_this_process

time_limit.GRACE_SECONDS = 3.0

@dg.op
def hang():
    {body}

@dg.job
def hanging():
    hang()

own = tags_of_this_process()
with dg.DagsterInstance.from_config(sys.argv[1]) as instance, time_limit.limited(instance, own, 2.0):
    hanging.execute_in_process(instance=instance, raise_on_error=False, tags=own)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(600)",
        # A lock of C, asked for with the interpreter in hand: no other Python runs any more.
        "import ctypes; ctypes.PyDLL(None).sleep(600)",
    ],
    ids=["in Python", "in native code"],
)
def test_a_run_of_a_command_line_ends_itself(fresh_settings: Settings, body: str) -> None:
    home = str(dagster_home(fresh_settings))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", OWN.format(body=body), home], check=False, timeout=60, capture_output=True, text=True
    )
    assert time.monotonic() - began < 45
    from crypto_platform.dagster_instance.orphaned_runs import end_abandoned

    with dg.DagsterInstance.from_config(home) as instance:
        end_abandoned(instance)
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE, done.stderr
