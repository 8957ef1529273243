"""Sensors and schedules that fail, are silent or are off."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo

from crypto_platform.definitions import defs
from crypto_platform.monitoring.ticks import ITSELF, Declared, declared, watch
from crypto_platform_tests.monitoring.conftest import Watched

SENSOR = Declared("hears", "Hears what happens.")
SCHEDULE = Declared("crypto_schedule", "Asks for the new day.", "30 0 * * *", "UTC")
STOCKS = Declared("stocks_daily", "", "30 18 * * *", "America/New_York")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)


def state(one: Declared, running: bool = True, **data: object) -> InstigatorState:
    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name="crypto_platform")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), one.name)
    status = InstigatorStatus.DECLARED_IN_CODE if running else InstigatorStatus.STOPPED
    if one.cron:
        given = ScheduleInstigatorData(one.cron, **data)  # type: ignore[arg-type]
        return InstigatorState(origin, InstigatorType.SCHEDULE, status, given)
    heard = SensorInstigatorData(min_interval=15, **data)  # type: ignore[arg-type]
    return InstigatorState(origin, InstigatorType.SENSOR, status, heard)


@pytest.fixture
def put(instance: dg.DagsterInstance) -> Callable[[InstigatorState], None]:
    def one(state: InstigatorState) -> None:
        if instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
            instance.update_instigator_state(state)
        else:
            instance.add_instigator_state(state)

    return one


def tick(
    instance: dg.DagsterInstance, of: InstigatorState, at: datetime, status: TickStatus, error: str = "", kind: str = ""
) -> None:
    info = SerializableErrorInfo(error, [], kind or "RuntimeError") if error else None
    instance.create_tick(
        TickData(
            of.instigator_origin_id,
            of.instigator_name,
            of.instigator_type,
            status,
            at.timestamp(),
            error=info,
            selector_id=of.selector_id,
        )
    )


@pytest.fixture
def look(instance: dg.DagsterInstance, watched: Watched) -> Callable[..., list[str]]:
    def titles(now: datetime = NOW, began: datetime = LONG_AGO) -> list[str]:
        watch(instance, watched.manager, watched.settings, now, [SENSOR, SCHEDULE, STOCKS], began)
        return watched.titles()

    return titles


def test_a_sensor_that_fails_is_told_until_it_ticks_well(
    instance: dg.DagsterInstance,
    watched: Watched,
    put: Callable[[InstigatorState], None],
    look: Callable[..., list[str]],
) -> None:
    of = state(SENSOR, last_tick_start_timestamp=NOW.timestamp())
    put(of)
    tick(instance, of, NOW - timedelta(seconds=40), TickStatus.FAILURE, "no ears\nTraceback")
    tick(instance, of, NOW, TickStatus.STARTED)
    assert look() == ["ERROR: sensor hears fails"]
    [alert] = watched.open()
    assert (alert.cause, alert.impact) == ("no ears", "not done now: Hears what happens.")
    assert alert.link.endswith("/locations/__repository__@crypto_platform/sensors/hears")
    tick(instance, of, NOW + timedelta(seconds=1), TickStatus.SKIPPED)
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_code_server_that_is_away_is_no_failure_of_each_sensor(
    instance: dg.DagsterInstance,
    watched: Watched,
    put: Callable[[InstigatorState], None],
    look: Callable[..., list[str]],
) -> None:
    of = state(SENSOR, last_tick_start_timestamp=NOW.timestamp())
    put(of)
    tick(instance, of, NOW, TickStatus.FAILURE, "Unable to reach", "DagsterUserCodeUnreachableError")
    assert look() == []
    tick(instance, of, NOW + timedelta(seconds=1), TickStatus.FAILURE, "no ears")
    assert len(look()) == 1
    tick(instance, of, NOW + timedelta(seconds=2), TickStatus.FAILURE, "again", "DagsterUserCodeUnreachableError")
    assert look() == []
    assert len(watched.open()) == 1


def test_a_sensor_that_stopped_ticking_is_told(
    watched: Watched, put: Callable[[InstigatorState], None], look: Callable[..., list[str]]
) -> None:
    put(state(SENSOR, last_tick_start_timestamp=NOW.timestamp()))
    assert look(NOW + timedelta(seconds=45)) == []
    assert look(NOW + timedelta(seconds=46), began=NOW + timedelta(seconds=40)) == []
    assert look(NOW + timedelta(seconds=46)) == ["ERROR: sensor hears has stopped ticking"]
    assert watched.open()[0].started_at == NOW + timedelta(seconds=15)
    # Nothing has had the time to tick since the code was loaded anew.
    assert look(NOW + timedelta(seconds=47), began=NOW + timedelta(seconds=46)) == []
    assert len(watched.open()) == 1
    put(state(SENSOR, last_tick_start_timestamp=(NOW + timedelta(seconds=47)).timestamp()))
    assert [title[:8] for title in look(NOW + timedelta(seconds=50))] == ["RESOLVED"]


def test_a_schedule_that_misses_its_time_is_told(
    instance: dg.DagsterInstance, put: Callable[[InstigatorState], None], look: Callable[..., list[str]]
) -> None:
    of = state(SCHEDULE, last_iteration_timestamp=(NOW - timedelta(days=1)).timestamp())
    put(of)
    due = NOW.replace(hour=0, minute=30)
    assert look(due + timedelta(seconds=29)) == []
    assert look(due + timedelta(seconds=31)) == ["ERROR: schedule crypto_schedule has stopped ticking"]
    tick(instance, of, due, TickStatus.SKIPPED)
    assert [title[:8] for title in look(due + timedelta(seconds=60))] == ["RESOLVED"]
    assert look(due + timedelta(hours=23, minutes=59)) == []


def test_a_schedule_s_time_is_that_of_its_place(
    instance: dg.DagsterInstance, put: Callable[[InstigatorState], None], look: Callable[..., list[str]]
) -> None:
    """18:30 in New York is 23:30 UTC until 2026-03-08, then 22:30."""
    of = state(STOCKS, last_iteration_timestamp=datetime(2026, 3, 6, tzinfo=UTC).timestamp())
    put(of)
    for day, hour in ((6, 23), (7, 23), (8, 22), (9, 22)):
        at = datetime(2026, 3, day, hour, 30, tzinfo=UTC)
        assert look(at - timedelta(seconds=1)) == []
        tick(instance, of, at, TickStatus.SKIPPED)
    assert look(datetime(2026, 3, 10, 22, 31, tzinfo=UTC)) == ["ERROR: schedule stocks_daily has stopped ticking"]


def test_one_that_is_switched_off_is_told(
    watched: Watched, put: Callable[[InstigatorState], None], look: Callable[..., list[str]]
) -> None:
    put(state(SCHEDULE, running=False))
    assert look() == ["WARNING: schedule crypto_schedule is switched off"]
    assert watched.open()[0].remediation == "crypto-platform enable crypto_schedule"
    put(state(SCHEDULE))
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_the_sensor_that_looks_leaves_itself_to_the_watchdog(
    instance: dg.DagsterInstance, watched: Watched, put: Callable[[InstigatorState], None]
) -> None:
    put(state(ITSELF, running=False))
    watch(instance, watched.manager, watched.settings, NOW, [ITSELF], LONG_AGO)
    assert watched.open() == []


def test_what_the_code_has_running_is_watched() -> None:
    names = {one.name for one in declared(defs().get_repository_def())}
    assert {"alert_on_runs", "alert_on_checks", "alert_on_freshness", "alert_on_ticks"} <= names
