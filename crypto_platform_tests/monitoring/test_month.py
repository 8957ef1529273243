"""A month of weekends, a holiday and a change of the clocks without one false alarm; then every fault, none missed."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import time_machine
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.scheduler.instigation import InstigatorState, TickStatus
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._daemon.freshness import FreshnessDaemon
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.freshness import Expectation
from crypto_platform.monitoring import checks, late_assets, runs, ticks
from crypto_platform.orchestration.asset_keys import FACTS, stage_key
from crypto_platform.orchestration.automation import daily as schedules
from crypto_platform.orchestration.checks import freshness as feeds_freshness
from crypto_platform.orchestration.checks.freshness import policy
from crypto_platform.orchestration.checks.freshness import tick as judge_feeds
from crypto_platform.orchestration.partitions import daily, daily_of_all
from crypto_platform.settings import Settings, settings, use
from crypto_platform_tests.monitoring.conftest import Pipeline, Watched
from crypto_platform_tests.monitoring.test_processes import Answering
from crypto_platform_tests.monitoring.test_runs import backfill
from crypto_platform_tests.monitoring.test_ticks import state, tick

# New York's clocks change on 8 March, London's on the 29th; the exchange is closed on Good Friday, 3 April.
FIRST, LAST = date(2026, 3, 5), date(2026, 4, 6)

LOOKS = ("00:52", "21:15")
SENSOR = ticks.Declared("hears", "Hears what happens.")


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), UTC)


class Month:
    """Dagster as it would be on these days; a day's schedules, daemon and servers do what the test lets them."""

    def __init__(self, instance: dg.DagsterInstance, watched: Watched) -> None:
        self.instance = instance
        self.watched = watched
        self.processes = Answering(watched.settings, at(FIRST, "00:00"))
        self.schedules = {
            name: ticks.Declared(f"{name}_schedule", "", schedules.cron(spec), schedules.timezone(spec))
            for name, spec in feeds().items()
        }
        self.states: dict[str, InstigatorState] = {}
        self.cursor: str | None = None
        self.graph = self._assets().resolve_asset_graph()
        self.groups = {key: self.graph.get(key).group_name or "" for key in self.graph.get_all_asset_keys()}
        self.broken: set[str] = set()

    def _assets(self) -> dg.Definitions:
        specs = [
            dg.AssetSpec(
                stage_key(name, stage), group_name=name, partitions_def=daily(spec), freshness_policy=policy([spec])
            )
            for name, spec in feeds().items()
            for stage in ("alpaca", "raw")
        ]
        facts = dg.AssetSpec(
            FACTS, group_name="marts", partitions_def=daily_of_all(), freshness_policy=policy(feeds().values())
        )

        # Never run: what a run would leave is reported.
        return dg.Definitions(assets=[*specs, facts])

    def live(self, day: date) -> None:
        """A day: each feed's schedule at its time, and a look now and then."""
        events: list[tuple[datetime, Callable[[datetime], None]]] = [(at(day, clock), self.look) for clock in LOOKS]
        for name in feeds():
            schedule = self.schedules[name]
            starts = datetime.combine(day, time(0, int(schedule.cron.split()[0])), ZoneInfo(schedule.timezone))
            events.append((starts.astimezone(UTC), lambda now, feed=name: self.tick(feed, now)))
        for moment, happens in sorted(events, key=lambda event: event[0]):
            with time_machine.travel(moment, tick=False):
                self.watched.clock.now = moment
                happens(moment)

    def tick(self, feed: str, now: datetime) -> None:
        """The schedule asks for the days that it finds due, and their run ends well some minutes later."""
        if "schedule" in self.broken:
            return
        due = schedules.due(self.instance, self.watched.settings, feed, now, now)
        self._state(self.schedules[feed], last_iteration_timestamp=now.timestamp())
        self._tick(self.schedules[feed], now, TickStatus.SKIPPED)
        if due.days is None or "day" in self.broken:
            return
        first, end = due.days
        with time_machine.travel(now + timedelta(minutes=6), tick=False):
            for key in self.groups:
                if key == FACTS or self.groups[key] == feed:
                    for n in range((end - first).days):
                        partition = (first + timedelta(days=n)).isoformat()
                        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))

    def look(self, now: datetime) -> None:
        """What runs every few seconds, once."""
        instance, watched = self.instance, self.watched
        if "daemon" not in self.broken:
            instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp(), "SENSOR", None, None))
            self._state(SENSOR, running="switch" not in self.broken, last_tick_start_timestamp=now.timestamp())
            failing = "sensor" in self.broken
            self._tick(SENSOR, now, TickStatus.FAILURE if failing else TickStatus.SKIPPED, "deaf" if failing else "")
            asyncio.run(self._judge_policies())
            judged = judge_feeds(instance, self.cursor, now)
            self.cursor = judged.cursor
            for event in judged.asset_events:
                instance.report_runless_asset_event(event)  # type: ignore[arg-type]
            runs.watch(instance, watched.manager, watched.settings, now)
            runs.watch_backfills(instance, watched.manager, watched.settings, now)
            checks.watch(instance, watched.manager, watched.settings, now)
            late_assets.watch(instance, watched.manager, watched.settings, now, self.groups)
            wanted = [SENSOR, *self.schedules.values()]
            ticks.watch(instance, watched.manager, watched.settings, now, wanted, at(FIRST, "00:00"))
        self.processes.code = self.processes.web = "servers" not in self.broken
        for _ in range(2):
            found = self.processes.look(lambda: instance, now)
            watched.manager.observe("watchdog", found.wrong, found.undecided)
        watched.manager.deliver()

    async def _judge_policies(self) -> None:
        """What the freshness daemon does."""
        context = LoadingContextForTest(self.instance)
        for key in self.groups:
            await FreshnessDaemon()._evaluate_asset(context=context, node=self.graph.get(key))  # type: ignore[arg-type]

    def _state(self, one: ticks.Declared, running: bool = True, **data: object) -> None:
        made = state(one, running, **data)
        if one.name in self.states:
            self.instance.update_instigator_state(made)
        else:
            self.instance.add_instigator_state(made)
        self.states[one.name] = made

    def _tick(self, one: ticks.Declared, now: datetime, status: TickStatus, error: str = "") -> None:
        tick(self.instance, self.states[one.name], now, status, error)


@pytest.fixture
def month(instance: dg.DagsterInstance, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    use(watched.settings)

    def tables(wanted: dict[feeds_freshness.Watched, Expectation]) -> tuple[dict, None]:
        """In place of Snowflake: every day that is there has its bars to the end."""
        newest = {watch: dict.fromkeys(feeds()[watch.feed].symbols, e.bar_start) for watch, e in wanted.items()}
        return {watch: feeds_freshness._Held(bars, {}, {}) for watch, bars in newest.items()}, None

    monkeypatch.setattr(feeds_freshness, "_tables", tables)
    watched.settings = watched.settings.model_copy(update={"alert_cooldown_seconds": 0.0})
    yield Month(instance, watched)
    settings.cache_clear()


@pytest.mark.slow
def test_a_month_without_a_false_alarm_then_every_fault_without_a_miss(month: Month, pipeline: Pipeline) -> None:
    watched, instance = month.watched, month.instance
    with time_machine.travel(at(FIRST - timedelta(days=1), "00:10"), tick=False):
        for key in month.groups:
            for n in range(2, 11):
                partition = (FIRST - timedelta(days=n)).isoformat()
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
    day = FIRST
    while day <= LAST:
        month.live(day)
        assert watched.memory.titles == [], day
        day += timedelta(days=1)

    def break_run() -> None:
        run = instance.create_run_for_job(pipeline.definitions().resolve_job_def("housekeeping"))
        instance.report_run_failed(run, "The process that executed this run is gone.")
        instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})

    def break_backfill() -> None:
        error = SerializableErrorInfo("it cannot go on", [], None)
        instance.add_backfill(
            backfill(BulkActionStatus.FAILED, error=error, backfill_timestamp=watched.clock.now.timestamp())
        )

    def report(passed: bool) -> None:
        key = dg.AssetKey(["raw", "crypto_bars"])
        evaluation = dg.AssetCheckEvaluation(
            key, "no_rejected_messages", passed, {}, severity=dg.AssetCheckSeverity.WARN
        )
        instance.report_runless_asset_event(evaluation)

    def mend_backfill() -> None:
        for partition in ("2026-03-01", "2026-03-02"):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(stage_key("crypto", "kafka"), partition=partition)
            )

    faults: dict[str, tuple[Callable[[], object], Callable[[], object], set[str]]] = {
        "run": (break_run, lambda: pipeline.run(instance, job="housekeeping"), {"run:housekeeping::"}),
        "backfill": (break_backfill, mend_backfill, {"backfill:abcdefgh"}),
        "check": (lambda: report(False), lambda: report(True), {"check:raw/crypto_bars:no_rejected_messages:"}),
        **{
            name: (lambda name=name: month.broken.add(name), lambda name=name: month.broken.discard(name), told)  # type: ignore[misc]
            for name, told in {
                "sensor": {"sensor:hears"},
                "switch": {"sensor:hears"},
                "daemon": {"process:daemon"},
                "servers": {"process:code", "process:dagster"},
                "schedule": {"schedule:crypto_schedule", "schedule:us_equity_schedule"},
                "day": {"check:raw/crypto_bars:is_fresh:", "check:marts/fct_bars:crypto_is_fresh:", "freshness:crypto"},
            }.items()
        },
    }
    for name, (fire, mend, wanted) in faults.items():
        with time_machine.travel(at(day - timedelta(days=1), "23:50"), tick=False):
            watched.clock.now = at(day - timedelta(days=1), "23:50")
            fire()
        month.live(day)
        told = {item.alert.fingerprint for _, item in watched.memory.items}
        assert wanted <= told, name
        with time_machine.travel(at(day, "23:50"), tick=False):
            watched.clock.now = at(day, "23:50")
            mend()
        month.live(day + timedelta(days=1))
        assert watched.open() == [], name
        recovered = [item.alert.fingerprint for _, item in watched.memory.items if str(item.event) == "resolved"]
        assert set(recovered) == told, name
        watched.memory.posts.clear()
        day += timedelta(days=2)
