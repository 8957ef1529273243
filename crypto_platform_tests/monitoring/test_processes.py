"""A daemon, a code server or a web server that is gone."""

import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorState, TickStatus
from dagster._daemon.types import DaemonHeartbeat

from crypto_platform.alerting import store
from crypto_platform.alerting.alert import Severity
from crypto_platform.monitoring import ticks, watchdog
from crypto_platform.monitoring.processes import Processes
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, alert
from crypto_platform_tests.monitoring.conftest import Watched
from crypto_platform_tests.monitoring.test_ticks import SENSOR, state, tick


class Answering(Processes):
    """Servers that answer or not, as the test says."""

    code = web = True

    def __init__(self, settings: Settings, began: datetime) -> None:
        super().__init__(settings, began, supervise)

    def _code_answers(self) -> bool:
        return self.code

    def _web_answers(self) -> bool:
        return self.web


@pytest.fixture
def began() -> datetime:
    return NOON - timedelta(days=1)


@pytest.fixture
def nothing_listens() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def beat(instance: dg.DagsterInstance, at: datetime, of: str = "SENSOR") -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), of, None, None))


def test_a_daemon_that_is_gone_is_told_until_it_is_back(instance: dg.DagsterInstance, began: datetime) -> None:
    processes = Answering(Settings(), began)
    beat(instance, NOON)
    beat(instance, NOON - timedelta(hours=1), "BACKFILL")
    assert processes.look(lambda: instance, NOON + timedelta(seconds=45)).wrong == []
    [alert] = processes.look(lambda: instance, NOON + timedelta(seconds=46)).wrong
    assert (alert.summary, alert.started_at, alert.severity) == ("the daemon does not run", NOON, Severity.CRITICAL)
    assert alert.remediation == "crypto-platform restart daemon"
    beat(instance, NOON + timedelta(seconds=50))
    assert processes.look(lambda: instance, NOON + timedelta(seconds=51)).wrong == []


def test_a_daemon_has_the_time_to_start(instance: dg.DagsterInstance) -> None:
    beat(instance, NOON - timedelta(days=7))
    processes = Answering(Settings(), NOON)
    assert processes.look(lambda: instance, NOON + timedelta(seconds=179)).wrong == []
    [alert] = processes.look(lambda: instance, NOON + timedelta(seconds=181)).wrong
    assert alert.started_at == NOON


def test_a_daemon_whose_sensors_all_hang_is_told(instance: dg.DagsterInstance, began: datetime) -> None:
    processes = Answering(Settings(), began)
    instance.add_instigator_state(state(SENSOR, last_tick_start_timestamp=NOON.timestamp()))
    beat(instance, NOON + timedelta(seconds=85))
    assert processes.look(lambda: instance, NOON + timedelta(seconds=89)).wrong == []
    assert [a.summary for a in processes.look(lambda: instance, NOON + timedelta(seconds=91)).wrong] == [
        "the daemon runs no sensors"
    ]


def test_a_server_is_down_when_it_does_not_answer_twice(instance: dg.DagsterInstance, began: datetime) -> None:
    processes = Answering(Settings(), began)
    beat(instance, NOON)
    processes.code = False
    assert processes.look(lambda: instance, NOON).wrong == []
    processes.web = False
    [code] = processes.look(lambda: instance, NOON + timedelta(seconds=3)).wrong
    assert (code.summary, code.started_at) == ("the code server does not answer", NOON)
    assert len(processes.look(lambda: instance, NOON + timedelta(seconds=6)).wrong) == 2
    processes.code = True
    [web] = processes.look(lambda: instance, NOON + timedelta(seconds=9)).wrong
    assert (web.summary, web.severity) == ("Dagster's web server does not answer", Severity.ERROR)


def test_a_server_has_the_time_to_start(instance: dg.DagsterInstance) -> None:
    processes = Answering(Settings(), NOON)
    beat(instance, NOON + timedelta(seconds=170))
    processes.code = False
    for seconds in (0, 3, 179):
        assert processes.look(lambda: instance, NOON + timedelta(seconds=seconds)).wrong == []
    processes.look(lambda: instance, NOON + timedelta(seconds=180))
    assert [alert.fingerprint for alert in processes.look(lambda: instance, NOON + timedelta(seconds=183)).wrong] == [
        "process:code"
    ]


def test_a_program_that_is_back_before_it_is_missed_is_told_once(
    instance: dg.DagsterInstance, watched: Watched, began: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = {"code": (10, 1_000), "kafka": (11, 1_000)}
    ordered = dict.fromkeys(running, 0.0)
    monkeypatch.setattr(supervise, "processes", lambda settings: dict(running))
    monkeypatch.setattr(supervise, "restart_ordered", lambda settings, name: ordered[name])
    processes = Answering(watched.settings, began)
    clock = iter(NOON + timedelta(seconds=3 * n) for n in range(20))

    def look() -> list[tuple[str, datetime]]:
        now = next(clock)
        beat(instance, now)
        found = processes.look(lambda: instance, now)
        return [(alert.summary, alert.started_at) for alert in found.wrong]

    assert look() == []
    running["code"] = (20, 1_001)
    assert look() == [("code ended and was started again by itself", NOON)]
    assert look() == []
    # The same number again, as a system gives it out in time.
    running["code"] = (20, 1_007)
    assert look() == [("code ended and was started again by itself", NOON + timedelta(seconds=6))]
    # A start is told in whole seconds, so this one seems to be of before its order; the next is nobody's.
    ordered["kafka"], running["kafka"] = 1_010.5, (30, 1_010)
    assert look() == []
    running["kafka"] = (31, 1_020)
    assert [what for what, _ in look()] == ["kafka ended and was started again by itself"]
    # Missed and told: its return is the recovery of that.
    processes.code = False
    del running["code"]
    assert look() == []
    assert [what for what, _ in look()] == ["the code server does not answer"]
    processes.code, running["code"] = True, (40, 1_030)
    assert look() == []


def test_what_cannot_be_judged_after_a_restart_stays_open(
    instance: dg.DagsterInstance, watched: Watched, began: datetime
) -> None:
    def look(processes: Processes, seconds: int) -> set[str]:
        found = processes.look(lambda: instance, NOON + timedelta(seconds=seconds))
        watched.manager.observe("watchdog", found.wrong, found.undecided)
        return {alert.fingerprint for alert in watched.open()}

    beat(instance, NOON - timedelta(hours=1))
    before = Answering(watched.settings, began)
    before.code = before.web = False
    look(before, 0)
    all_three = {"process:daemon", "process:code", "process:dagster"}
    assert look(before, 3) == all_three
    restarted = Answering(watched.settings, NOON + timedelta(seconds=6))
    restarted.code = False
    assert look(restarted, 6) == all_three - {"process:dagster"}
    # The first that counts is one look that a server does not answer.
    assert look(restarted, 186) == all_three - {"process:dagster"}
    assert look(restarted, 189) == all_three - {"process:dagster"}
    restarted.code = True
    beat(instance, NOON + timedelta(seconds=190))
    assert look(restarted, 191) == set()


def test_the_sensor_that_tells_of_sensors_is_watched_from_outside(
    instance: dg.DagsterInstance, watched: Watched, began: datetime
) -> None:
    processes = Answering(watched.settings, began)
    other, of = state(SENSOR, last_tick_start_timestamp=NOON.timestamp()), state(ticks.ITSELF)
    instance.add_instigator_state(other)
    instance.add_instigator_state(of)

    def look(seconds: int, now: InstigatorState) -> list[tuple[str, str]]:
        """Of what is open, what is wrong and what mends it; the daemon lives."""
        at = NOON + timedelta(seconds=seconds)
        beat(instance, at)
        instance.update_instigator_state(now)
        instance.update_instigator_state(state(SENSOR, last_tick_start_timestamp=at.timestamp()))
        found = processes.look(lambda: instance, at)
        watched.manager.observe("watchdog", found.wrong, found.undecided)
        return [(alert.summary, alert.remediation) for alert in watched.open()]

    assert look(0, state(ticks.ITSELF, running=False)) == [
        ("sensor alert_on_ticks is switched off", "crypto-platform enable alert_on_ticks")
    ]
    ticking = state(ticks.ITSELF, last_tick_start_timestamp=NOON.timestamp())
    assert look(3, ticking) == []
    tick(instance, of, NOON, TickStatus.FAILURE, "no ears")
    assert look(6, ticking) == [("sensor alert_on_ticks fails", "crypto-platform restart code")]
    tick(instance, of, NOON + timedelta(seconds=1), TickStatus.SKIPPED)
    assert look(105, ticking) == []
    assert look(106, ticking) == [("sensor alert_on_ticks has stopped ticking", "crypto-platform restart daemon")]
    # Without a daemon none ticks: that is told instead, and this stays as it is.
    found = processes.look(lambda: instance, NOON + timedelta(seconds=160))
    assert [alert.fingerprint for alert in found.wrong] == ["process:daemon"]
    assert found.undecided == {ticks.ITSELF.fingerprint}


class StorageAwayError(Exception):
    """As a storage of Dagster raises it."""


def test_a_storage_that_is_away_is_told_and_the_others_are_watched_on(
    instance: dg.DagsterInstance, watched: Watched, began: datetime
) -> None:
    processes = Answering(watched.settings, began)
    is_away = False

    def opened() -> dg.DagsterInstance:
        if is_away:
            raise StorageAwayError
        return instance

    def turn(seconds: int) -> set[str]:
        watchdog.turn(watched.settings, processes, opened, NOON + timedelta(seconds=seconds))
        return {alert.fingerprint for alert in watched.open()}

    beat(instance, NOON - timedelta(hours=1))
    assert turn(0) == {"process:daemon"}
    beat(instance, NOON + timedelta(seconds=2))
    assert turn(3) == set()
    is_away, processes.code = True, False
    assert turn(6) == set()
    assert turn(9) == {"process:storage", "process:code"}
    [storage] = [alert for alert in watched.open() if alert.fingerprint == "process:storage"]
    assert (storage.severity, storage.remediation) == (Severity.CRITICAL, "")
    is_away, processes.code = False, True
    # The daemon could not write that it lives.
    assert turn(100) == set()


def test_a_look_that_fails_keeps_nothing_from_being_delivered(
    instance: dg.DagsterInstance, watched: Watched, began: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Answering):
        def _web_answers(self) -> bool:
            raise StorageAwayError("user:password@host")

    watched.manager.raise_("here", alert("a"))
    watchdog.turn(watched.settings, Failing(watched.settings, began), lambda: instance, NOON)
    log = watched.settings.crypto_platform_home / "alerts.log"
    assert "a is wrong" in log.read_text()
    assert "could not look: StorageAwayError" in caplog.text
    assert "password" not in caplog.text


def test_it_shows_after_each_turn_that_it_goes_on(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[bool] = []
    heartbeat = watched.settings.crypto_platform_home / watchdog.HEARTBEAT

    def sleep(seconds: float) -> None:
        assert heartbeat.exists()
        raise InterruptedError

    monkeypatch.setattr(watchdog, "turn", lambda *arguments: turns.append(heartbeat.exists()))
    monkeypatch.setattr(watchdog.time, "sleep", sleep)
    with pytest.raises(InterruptedError):
        watchdog.watch(watched.settings, supervise)
    assert turns == [False]


def test_a_book_that_is_away_ends_nothing(
    instance: dg.DagsterInstance, began: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(settings: Settings) -> None:
        raise StorageAwayError

    monkeypatch.setattr(store, "engine", away)
    watchdog.turn(Settings(), Answering(Settings(), began), lambda: instance, NOON)
    assert [record.getMessage() for record in caplog.records] == [
        "could not look: StorageAwayError",
        "could not deliver: StorageAwayError",
    ]


@pytest.mark.parametrize(
    ("answer", "answers"),
    [(b'{"dagster_version": "1.13.0"}', True), (b"<html>Log in</html>", False), (b'"no"', False), (b"{}", False)],
)
def test_a_web_server_is_what_answers_as_dagster_where_programs_reach_it(
    began: datetime, nothing_listens: int, answer: bytes, answers: bool
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        chosen = Settings(
            dagster_ui_url=f"http://127.0.0.1:{nothing_listens}",
            dagster_server_url=f"http://127.0.0.1:{server.server_port}",
        )
        assert Processes(chosen, began, supervise)._web_answers() is answers
        server.shutdown()


def test_the_command_that_restarts_is_the_one_that_is_set(instance: dg.DagsterInstance, began: datetime) -> None:
    processes = Answering(Settings(restart_command="./again"), began)
    beat(instance, NOON - timedelta(hours=1))
    [daemon] = processes.look(lambda: instance, NOON).wrong
    assert daemon.remediation == "./again daemon"


def test_servers_that_nobody_started_do_not_answer(
    instance: dg.DagsterInstance, began: datetime, nothing_listens: int
) -> None:
    chosen = Settings(dagster_code_port=nothing_listens, dagster_ui_port=nothing_listens)
    processes = Processes(chosen, began, supervise)
    beat(instance, NOON)
    processes.look(lambda: instance, NOON)
    assert {alert.fingerprint for alert in processes.look(lambda: instance, NOON).wrong} == {
        "process:code",
        "process:dagster",
    }
