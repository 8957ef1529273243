"""Dagster's own processes: what a sensor cannot tell, because it would not run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import dagster as dg
import requests

from crypto_platform.alerting.alert import Alert, Severity
from crypto_platform.dagster_instance.graphql import session
from crypto_platform.dagster_instance.internals import (
    DagsterGrpcClient,
    DagsterUserCodeUnreachableError,
    SensorInstigatorData,
)
from crypto_platform.monitoring import ticks
from crypto_platform.monitoring.scope import restart
from crypto_platform.monitoring.ui import Links
from crypto_platform.settings import LOOPBACK, Settings

# The daemon writes a heartbeat every 30 s; so long after the last one it is taken for gone.
DAEMON_SILENCE = timedelta(seconds=45)
# The daemon is there and evaluates none of its sensors.
SENSOR_SILENCE = timedelta(seconds=90)
# After its start, until each must have shown itself once: the code is loaded first.
START = timedelta(seconds=180)
# A server that does not answer twice in a row is down, not slow.
MISSES = 2
PROBE_SECONDS = 2.0

logger = logging.getLogger("crypto_platform.watchdog")


@dataclass(frozen=True)
class Found:
    """What is wrong now, and the fingerprints of what cannot be judged yet."""

    wrong: list[Alert] = field(default_factory=list)
    undecided: set[str] = field(default_factory=set)


class Supervisor(Protocol):
    """What starts the programs of a machine, and those that ended again; it may run none."""

    def processes(self, settings: Settings) -> dict[str, tuple[int, int]]:
        """Pid, and start in seconds since 1970, of every program that has a process."""

    def restart_ordered(self, settings: Settings, name: str) -> float:
        """When a person last ordered the program's restart, in seconds since 1970; 0 for never."""

    def log_file(self, settings: Settings, name: str) -> Path:
        """Where the program's output is."""


class Processes:
    """Looks at Dagster's storage, daemon, servers and the sensor that tells of all others.

    `began` is when they were started at the earliest.
    """

    def __init__(self, settings: Settings, began: datetime, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._links = Links(settings)
        self._began = began
        self._missed: dict[str, list[datetime]] = {}
        self._came_up: set[str] = set()
        # Each program's process at the last look, as its pid and start, and when that was.
        self._ran: dict[str, tuple[tuple[int, int], datetime]] = {}
        # When each program's restart was last ordered, as far as its return was seen.
        self._orders: dict[str, float] = {}

    def look(self, instance: Callable[[], dg.DagsterInstance], now: datetime) -> Found:
        """What is wrong now; `instance` opens Dagster's storage, which may be away."""
        found = Found()
        try:
            self._daemon(found, instance(), now)
            self._alert_on_ticks(found, instance(), now)
            read = True
        except Exception as error:
            # Each storage of Dagster raises errors of its own.
            logger.warning("Dagster's storage does not answer: %s", type(error).__name__)
            found.undecided.update([_fingerprint("daemon"), ticks.ITSELF.fingerprint])
            read = False
        self._server(found, "storage", "Dagster's storage", self._links.health(), read, now)
        if not read and found.wrong:
            # The daemon could not show itself either: when the storage is back it has the time of a start.
            self._began = now
        self._came_back(found, now)
        self._server(found, "code", "the code server", self._links.locations(), self._code_answers(), now)
        self._server(found, "dagster", "Dagster's web server", self._settings.ui_url, self._web_answers(), now)
        return found

    def _daemon(self, found: Found, instance: dg.DagsterInstance, now: datetime) -> None:
        beats = [b.timestamp for b in instance.get_daemon_heartbeats().values()]
        sensors = [
            state.instigator_data.last_tick_start_timestamp or 0.0
            for state in instance.all_instigator_state()
            if isinstance(state.instigator_data, SensorInstigatorData) and state.is_running
        ]
        ticked = datetime.fromtimestamp(max(sensors, default=0.0), UTC)
        lived = max(datetime.fromtimestamp(max(beats, default=0.0), UTC), ticked)
        if now > lived + DAEMON_SILENCE:
            what, since, cause = "the daemon does not run", lived, "it was stopped or killed, or has lost its storage"
        elif sensors and now > ticked + SENSOR_SILENCE:
            what, since, cause = "the daemon runs no sensors", ticked, "all of its threads hang in sensors"
        else:
            return
        if now <= self._began + START:
            found.undecided.add(_fingerprint("daemon"))
            return
        effect = "no schedule, sensor, queue, backfill or monitoring; runs that were started go on"
        found.wrong.append(self._alert("daemon", what, max(since, self._began), effect, cause, self._links.health()))

    def _alert_on_ticks(self, found: Found, instance: dg.DagsterInstance, now: datetime) -> None:
        """The sensor that tells of all others; with the daemon gone none ticks, which is told already."""
        if found.wrong or found.undecided:
            found.undecided.add(ticks.ITSELF.fingerprint)
            return
        wrong, undecided = ticks.judge(
            instance, self._settings, now, [ticks.ITSELF], self._began + START, grace=SENSOR_SILENCE
        )
        found.wrong.extend(wrong)
        found.undecided.update(undecided)

    def _server(self, found: Found, name: str, subject: str, link: str, answers: bool, now: datetime) -> None:
        if answers:
            self._missed.pop(name, None)
            self._came_up.add(name)
            return
        missed = self._missed.setdefault(name, [])
        if name in self._came_up or now >= self._began + START:
            missed.append(now)
        if len(missed) < MISSES:
            found.undecided.add(_fingerprint(name))
            return
        effect = {
            "storage": "no run, schedule or sensor goes on; whether the daemon runs is not known",
            "code": "no schedule and no sensor is evaluated, no run starts; its runs ended with it",
            "dagster": "nobody sees the UI; runs, schedules and sensors go on",
        }[name]
        cause = "it was stopped, was killed or hangs"
        found.wrong.append(self._alert(name, f"{subject} does not answer", missed[0], effect, cause, link))

    def _came_back(self, found: Found, now: datetime) -> None:
        """Programs that ended and that the supervisor started again, sooner than anybody missed them.

        Told for one look: by the next it is over. An ordered restart is none, nor one of what is told to be down.
        """
        for name, process in self._supervisor.processes(self._settings).items():
            (before, seen), self._ran[name] = self._ran.get(name, (process, now)), (process, now)
            if process == before:
                continue
            _, started = before
            ordered = self._supervisor.restart_ordered(self._settings, name)
            # supervisord gives starts in whole seconds: an order may seem to be of after the start that it led to.
            is_ordered = ordered >= started and ordered != self._orders.get(name)
            self._orders[name] = ordered
            is_told = len(self._missed.get(name, [])) >= MISSES
            if is_told or is_ordered:
                continue
            found.wrong.append(
                Alert(
                    fingerprint=_fingerprint(name),
                    kind="process",
                    summary=f"{name} ended and was started again by itself",
                    started_at=seen,
                    severity=Severity.ERROR,
                    impact="what it was doing was cut off; it is up again",
                    cause=f"it crashed or was killed: see {self._supervisor.log_file(self._settings, name)}",
                    link=self._links.health(),
                    remediation="crypto-platform status",
                )
            )

    def _alert(self, name: str, summary: str, started_at: datetime, impact: str, cause: str, link: str) -> Alert:
        return Alert(
            fingerprint=_fingerprint(name),
            kind="process",
            summary=summary,
            started_at=started_at,
            severity=Severity.CRITICAL if name != "dagster" else Severity.ERROR,
            impact=impact,
            cause=cause,
            link=link,
            remediation=restart(self._settings, name) if name != "storage" else "",
        )

    def _code_answers(self) -> bool:
        host, _, port = (self._settings.dagster_code_server or "").partition(":")
        client = DagsterGrpcClient(host=host or LOOPBACK, port=int(port or self._settings.dagster_code_port))
        try:
            client.get_server_id(timeout=int(PROBE_SECONDS))
        except DagsterUserCodeUnreachableError:
            return False
        return True

    def _web_answers(self) -> bool:
        try:
            with session(self._settings) as asking:
                answer = asking.get(f"{self._settings.server_url}/server_info", timeout=PROBE_SECONDS).json()
        except requests.RequestException:
            return False
        # A proxy's own page is no answer of Dagster's.
        return isinstance(answer, dict) and "dagster_version" in answer


def _fingerprint(name: str) -> str:
    return f"process:{name}"
