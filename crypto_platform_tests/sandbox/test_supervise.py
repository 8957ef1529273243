"""The sandbox's life: real programs, real signals."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.supervise import SandboxError, sandbox
from crypto_platform.sandbox.supervisord import Supervisord
from crypto_platform.settings import Settings

GONE_SECONDS = 60
USER = """
import sys
from crypto_platform.sandbox.supervise import sandbox
from crypto_platform.settings import Settings

with sandbox(Settings(), sys.argv[1].split(",")):
    print("up", flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.sandbox


@pytest.fixture
def settings(fresh_settings: Settings) -> Iterator[Settings]:
    """A home of the test's own, in which nothing runs any more when the test has ended."""
    settings = fresh_settings.model_copy(update={"sandbox_simulated": True})
    yield settings
    supervise.stop(settings)


@contextmanager
def user(settings: Settings, services: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the services until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, services],
        env={**os.environ, **settings.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def family(settings: Settings) -> list[psutil.Process]:
    """The home's supervisord and all below it."""
    supervisord = Supervisord.find(settings)
    assert supervisord
    return [supervisord.process, *supervisord.process.children(recursive=True)]


def pid(settings: Settings, name: str) -> int:
    (found,) = (s.pid for s in supervise.status(settings) if s.name == name)
    assert found
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when `condition()` is true; fails when it does not become so."""
    polling = Retrying(
        retry=retry_if_result(lambda met: not met), wait=wait_fixed(0.1), stop=stop_after_delay(GONE_SECONDS)
    )
    polling(condition)


def assert_gone(processes: list[psutil.Process]) -> None:
    """They end; one whose parent has not asked for its exit code yet has ended as well."""
    try:
        wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes))
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_services_run_inside_the_block_and_not_after_it(settings: Settings) -> None:
    events: list[tuple[str, str]] = []
    with sandbox(settings, {"alpaca", "snowflake"}, lambda *event: events.append(event)) as effective:
        assert effective.sandbox_alpaca_port != 0
        states = {s.name: s for s in supervise.status(settings)}
        assert states["alpaca"].state == states["snowflake"].state == "running"
        assert states["alpaca"].address == f"http://127.0.0.1:{effective.sandbox_alpaca_port}"
        assert states["alpaca"].since is not None
        assert states["kafka"].state == "stopped"
        processes = family(settings)
        listening = {c.laddr.ip for p in processes for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
    assert_gone(processes)
    assert events[:2] == [("alpaca", "starting"), ("snowflake", "starting")]
    assert sorted(events[2:]) == [("alpaca", "ready"), ("snowflake", "ready")]
    assert {s.state for s in supervise.status(settings)} == {"stopped"}
    assert supervise.running(settings) is None
    assert not supervise.stop(settings)


def test_a_second_user_shares_what_is_up_and_leaves_it_up(settings: Settings) -> None:
    with user(settings, "alpaca") as first:
        before = pid(settings, "alpaca")
        events: list[tuple[str, str]] = []
        with sandbox(settings, {"alpaca", "snowflake"}, lambda *event: events.append(event)) as effective:
            assert supervise.running(settings) == effective
        assert ("alpaca", "already up") in events
        assert pid(settings, "alpaca") == before
        processes = family(settings)
        first.communicate()
        assert first.returncode == 0
    assert_gone(processes)


def test_the_first_user_may_leave_before_the_second(settings: Settings) -> None:
    with user(settings, "alpaca") as first, sandbox(settings, {"alpaca"}):
        before = pid(settings, "alpaca")
        first.communicate()
        assert pid(settings, "alpaca") == before
        processes = family(settings)
    assert_gone(processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_user_that_is_ended_by_a_signal(settings: Settings, number: signal.Signals) -> None:
    with user(settings, "alpaca,kafka") as process:
        processes = family(settings)
        assert "java" in {p.name() for p in processes}
        process.send_signal(number)
        process.communicate()
        assert process.returncode != 0
        assert_gone(processes)


def test_nothing_outlives_a_killed_supervisord(settings: Settings) -> None:
    with user(settings, "alpaca,kafka"):
        processes = family(settings)
        assert "java" in {p.name() for p in processes}
        processes[0].kill()
        assert_gone(processes)


def test_a_killed_reaper_is_replaced_and_still_ends_the_sandbox(settings: Settings) -> None:
    with user(settings, "alpaca") as process:
        supervisord = Supervisord.find(settings)
        assert supervisord
        reaper = supervisord.rpc.getProcessInfo("reaper")["pid"]
        os.kill(reaper, signal.SIGKILL)
        wait_for(lambda: supervisord.rpc.getProcessInfo("reaper")["pid"] not in (0, reaper))
        processes = family(settings)
        process.kill()
        process.communicate()
        assert_gone(processes)


def test_a_killed_service_comes_back_at_the_same_address(settings: Settings) -> None:
    with sandbox(settings, {"alpaca"}):
        before = pid(settings, "alpaca")
        os.kill(before, signal.SIGKILL)

        def back() -> bool:
            (status,) = (s for s in supervise.status(settings) if s.name == "alpaca")
            return status.state == "running" and status.pid != before

        wait_for(back)


def test_a_taken_port_is_named_with_its_owner_and_its_setting(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = settings.model_copy(update={"sandbox_alpaca_port": port})
        with pytest.raises(SandboxError) as error, sandbox(taken, {"alpaca"}):
            pass
    assert f"port {port} of alpaca is taken by process {os.getpid()}" in str(error.value)
    assert "SANDBOX_ALPACA_PORT" in str(error.value)
    assert supervise.running(settings) is None


def test_a_service_that_does_not_start_is_named_with_its_log(settings: Settings, tmp_path: Path) -> None:
    missing = tmp_path / "nothing here"
    broken = settings.model_copy(update={"sandbox_recordings": missing, "sandbox_simulated": False})
    with (
        pytest.raises(SandboxError, match=r"(?s)alpaca ended while it started.*does not exist"),
        sandbox(broken, {"alpaca"}),
    ):
        pass
    assert supervise.running(settings) is None


def test_other_recordings_than_those_served_are_refused(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"sandbox_recordings": tmp_path, "sandbox_simulated": False})
    with sandbox(settings, {"alpaca"}):
        with pytest.raises(SandboxError, match="serves `--simulated`, not `--recordings"), sandbox(other, {"alpaca"}):
            pass
        assert pid(settings, "alpaca")


def test_the_systems_of_the_settings_are_not_started(settings: Settings) -> None:
    production = settings.model_copy(
        update={"kafka_bootstrap_servers": "kafka.example:9092", "snowflake_account": "org-account"}
    )
    events: list[tuple[str, str]] = []
    with sandbox(production, {"kafka", "snowflake"}, lambda *event: events.append(event)) as effective:
        assert effective == production
        assert supervise.running(settings) is None
    assert events == [("kafka", "external"), ("snowflake", "external")]
    states = {s.name: s for s in supervise.status(production)}
    assert (states["kafka"].state, states["kafka"].address) == ("external", "kafka.example:9092")


def test_unknown_services_are_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no such service: flink"), sandbox(settings, {"flink"}):
        pass


def test_a_home_with_a_path_too_long_for_a_socket_works(settings: Settings) -> None:
    long = settings.model_copy(update={"crypto_platform_home": settings.crypto_platform_home / ("x" * 120)})
    with sandbox(long, {"alpaca"}):
        assert pid(long, "alpaca")


def test_data_outlives_the_sandbox_and_its_ports(settings: Settings) -> None:
    def admin(effective: Settings) -> AdminClient:
        return AdminClient({"bootstrap.servers": effective.kafka_servers})

    with sandbox(settings, {"kafka", "snowflake"}) as effective:
        first_port = effective.sandbox_kafka_port
        client = admin(effective)
        client.create_topics([NewTopic("kept", 1)])["kept"].result()
        supervise.restart(settings, "kafka")
        assert "kept" in admin(effective).list_topics(timeout=10).topics
        with connect(effective) as connection:
            connection.cursor().execute("create schema if not exists raw")
            connection.cursor().execute("create table raw.kept as select 42 as answer")
    with sandbox(settings, {"kafka", "snowflake"}) as effective:
        assert effective.sandbox_kafka_port != first_port
        topics = admin(effective).list_topics(timeout=10).topics
        assert "kept" in topics
        with connect(effective) as connection:
            assert connection.cursor().execute("select answer from raw.kept").fetchall() == [(42,)]
