"""Sensors and schedules that fail, that stopped ticking, or that somebody switched off."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from crypto_platform.alerting.alert import Alert, Kind, Severity
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.dagster_instance.internals import (
    InstigatorState,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    SerializableErrorInfo,
    TickStatus,
    cron_string_iterator,
)
from crypto_platform.monitoring.scope import first_line, restart
from crypto_platform.monitoring.ui import Links
from crypto_platform.settings import Settings

SOURCE = "ticks"
# Beyond its interval, until a sensor that has not ticked counts as silent; of a schedule, beyond its time.
GRACE = timedelta(seconds=30)
# The code server being away is told once, by the watchdog, and not by every sensor.
UNREACHABLE = "DagsterUserCodeUnreachableError"
# Ticks to look at: the newest may be running still.
NEWEST = 3


@dataclass(frozen=True)
class Declared:
    """A sensor or schedule that the code has running: `cron` and its `timezone` for a schedule, empty for a sensor."""

    name: str
    purpose: str
    cron: str = ""
    timezone: str = "UTC"

    @property
    def kind(self) -> Kind:
        return "schedule" if self.cron else "sensor"

    @property
    def fingerprint(self) -> str:
        return f"{self.kind}:{self.name}"


class Problem(NamedTuple):
    """What is wrong with one; `restart` is the part of Dagster to restart, empty when it is to be enabled."""

    summary: str
    cause: str
    restart: str
    severity: Severity = Severity.ERROR


FAILING = Problem("fails", "it gave no error", "code")
SILENT = Problem("has stopped ticking", "the daemon hangs or is overloaded", "daemon")
OFF = Problem("is switched off", "somebody switched it off in the UI", "", Severity.WARNING)

# The sensor that calls `watch`. Whether it does tells the watchdog.
ITSELF = Declared("alert_on_ticks", "Tells of sensors and schedules that fail, hang or are off.")


def declared(repository: dg.RepositoryDefinition) -> list[Declared]:
    """What of the repository runs unless somebody switches it off."""
    sensors = [
        Declared(sensor.name, sensor.description or "")
        for sensor in repository.sensor_defs
        if sensor.default_status is dg.DefaultSensorStatus.RUNNING
    ]
    schedules = [
        Declared(s.name, s.description or "", cron, s.execution_timezone or "UTC")
        for s in repository.schedule_defs
        if s.default_status is dg.DefaultScheduleStatus.RUNNING
        for cron in ([s.cron_schedule] if isinstance(s.cron_schedule, str) else s.cron_schedule)
    ]
    return [*sensors, *schedules]


def watch(
    instance: dg.DagsterInstance,
    manager: AlertManager,
    settings: Settings,
    now: datetime,
    wanted: Collection[Declared],
    began: datetime,
) -> None:
    """Take what is wrong with those that are `wanted`, but for the sensor that does this itself: see `judge`."""
    wrong, undecided = judge(instance, settings, now, [one for one in wanted if one.name != ITSELF.name], began)
    manager.observe(SOURCE, wrong, undecided)


def judge(
    instance: dg.DagsterInstance,
    settings: Settings,
    now: datetime,
    wanted: Collection[Declared],
    began: datetime,
    grace: timedelta = GRACE,
) -> tuple[list[Alert], set[str]]:
    """What is wrong with those that are `wanted`, and the fingerprints of what cannot be judged now.

    `began` is since when anything could tick (UTC); `grace` after that, or after its time, one is silent.
    """
    states = {(_type(state), state.instigator_name): state for state in instance.all_instigator_state()}
    present = [(one, states[one.kind, one.name]) for one in wanted if (one.kind, one.name) in states]
    ticks = _newest(instance, [state for _, state in present])
    wrong: list[Alert] = []
    undecided: set[str] = set()
    for one, state in present:
        finished = list(_finished(ticks.get(state.selector_id, ())))
        error = finished[0].error if finished else None
        if not state.is_running:
            problem, since = OFF, now
        elif error is not None and error.cls_name == UNREACHABLE:
            undecided.add(one.fingerprint)
            continue
        elif finished and finished[0].status is TickStatus.FAILURE:
            problem, since = FAILING, datetime.fromtimestamp(finished[0].timestamp, UTC)
        elif (due := _due(one, state, finished, now)) and now > due + grace:
            if now <= began + grace:
                undecided.add(one.fingerprint)
                continue
            problem, since = SILENT, due
        else:
            continue
        wrong.append(_alert(one, problem, since, _root_cause(error) if problem is FAILING else "", settings))
    return wrong, undecided


def _newest(instance: dg.DagsterInstance, states: Sequence[InstigatorState]) -> dict[str, Sequence[InstigatorTick]]:
    if instance.supports_batch_tick_queries:
        return dict(instance.get_batch_ticks([state.selector_id for state in states], limit=NEWEST))
    return {
        state.selector_id: instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=NEWEST)
        for state in states
    }


def _finished(ticks: Sequence[InstigatorTick]) -> Iterator[InstigatorTick]:
    """The newest first."""
    newest_first = sorted(ticks, key=lambda tick: tick.timestamp, reverse=True)
    return (tick for tick in newest_first if tick.status is not TickStatus.STARTED)


def _due(one: Declared, state: InstigatorState, finished: Sequence[InstigatorTick], now: datetime) -> datetime | None:
    """When the tick was due that has not come; None when none is missing."""
    data = state.instigator_data
    if isinstance(data, SensorInstigatorData) and data.last_tick_start_timestamp:
        last = datetime.fromtimestamp(max(data.last_tick_start_timestamp, data.last_sensor_start_timestamp or 0), UTC)
        return last + timedelta(seconds=data.min_interval or 30)
    if isinstance(data, ScheduleInstigatorData) and data.last_iteration_timestamp:
        # The scheduler notes only now and then how far it has looked.
        looked_until = max(data.last_iteration_timestamp, data.start_timestamp or 0.0)
        if finished:
            looked_until = max(looked_until, finished[0].timestamp)
        times = cron_string_iterator(looked_until + 1, one.cron, one.timezone)
        due = next(times).astimezone(UTC)
        return due if due <= now else None
    return None


def _alert(one: Declared, problem: Problem, since: datetime, cause: str, settings: Settings) -> Alert:
    links = Links(settings)
    return Alert(
        fingerprint=one.fingerprint,
        kind=one.kind,
        summary=f"{one.kind} {one.name} {problem.summary}",
        started_at=since,
        severity=problem.severity,
        impact=f"not done now: {one.purpose}" if one.purpose else "what it does is not done now",
        cause=cause or problem.cause,
        link=links.schedule(one.name) if one.kind == "schedule" else links.sensor(one.name),
        remediation=restart(settings, problem.restart) if problem.restart else f"crypto-platform enable {one.name}",
    )


def _root_cause(error: SerializableErrorInfo | None) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return first_line(error.message) if error else ""


def _type(state: InstigatorState) -> str:
    return "schedule" if state.instigator_type is InstigatorType.SCHEDULE else "sensor"
