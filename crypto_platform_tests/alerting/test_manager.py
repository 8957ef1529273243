"""The manager's promises: nothing lost, nothing repeated within its window, a recovery once."""

import itertools
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from crypto_platform.alerting import store
from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.alerting.message import Event, Message
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, Clock, Memory, alert

HOLD = 900.0


def test_what_is_wrong_is_told_once_and_its_recovery_once(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    for _ in range(3):
        manager.observe("here", [alert("a", feed="crypto", partitions="2026-03-28")])
        manager.deliver()
        clock.forward(10)
    assert memory.titles == ["ERROR: a is wrong · crypto, 2026-03-28"]
    for _ in range(3):
        manager.observe("here", [])
        manager.deliver()
        clock.forward(700)
    assert memory.titles[1:] == ["RESOLVED after 30 s: a is wrong · crypto, 2026-03-28"]
    assert manager.open() == []


def test_a_source_sees_only_its_own(manager: AlertManager, memory: Memory) -> None:
    manager.observe("here", [alert("a")])
    manager.observe("there", [alert("b")])
    assert [incident.alert.fingerprint for incident in manager.open()] == ["a", "b"]


def test_what_a_source_cannot_judge_stays_as_it_is(manager: AlertManager) -> None:
    manager.observe("here", [alert("a"), alert("b")])
    manager.observe("here", [], undecided={"a", "c"})
    assert [incident.alert.fingerprint for incident in manager.open()] == ["a"]


def test_a_repeat_within_the_window_waits_and_is_forgotten_when_it_passes(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    def go(seconds: float, *fingerprints: str) -> None:
        clock.forward(seconds)
        manager.observe("here", [alert(f) for f in fingerprints])
        manager.deliver()

    go(0, "a")
    go(10)
    go(10, "a")
    go(10)
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED]
    go(10, "a")
    go(HOLD - 41, "a")
    assert len(memory.posts) == 2
    go(1, "a")
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED, Event.FIRING]
    go(10)
    assert [item.event for _, item in memory.items][-1] == Event.RESOLVED


def test_a_failed_post_opens_no_window(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    memory.down = True
    manager.raise_("here", alert("a"))
    manager.deliver()
    manager.recover("here", "a")
    memory.down = False
    clock.forward(60)
    manager.deliver()
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED]


def test_a_channel_that_is_down_is_asked_ever_more_seldom_and_loses_nothing(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    memory.down = True
    manager.raise_("here", alert("a"))
    tries = []
    for _ in range(200):
        if manager.deliver()[0].error:
            tries.append(clock.now)
        clock.forward(5)
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(tries)]
    assert gaps == [5, 10, 20, 40, 80, 160, 320]
    [waiting] = manager.pending()
    assert (waiting.messages, waiting.error) == (1, "it is down")
    memory.down = False
    clock.forward(600)
    manager.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    assert manager.pending()[0].messages == 0


def test_one_channel_being_down_keeps_no_other_from_being_told(
    alert_settings: Settings, clock: Clock, memory: Memory
) -> None:
    other = Memory(clock, name="other", down=True)
    manager = AlertManager(alert_settings, clock, [other, memory])
    manager.raise_("here", alert("a"))
    manager.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    assert other.posts == []


def test_a_message_that_is_refused_holds_up_no_other(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    memory.refused = {"a"}
    manager.observe("here", [alert("a"), alert("b")])
    manager.deliver()
    assert memory.titles == ["ERROR: b is wrong"]
    manager.observe("here", [])
    manager.deliver()
    assert memory.titles[1:] == ["RESOLVED after 0 s: b is wrong"]
    memory.refused = set()
    clock.forward(60)
    manager.deliver()
    assert [item.event for _, item in memory.items][2:] == [Event.FIRING, Event.RESOLVED]


def test_a_storm_becomes_one_digest(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    manager.observe("here", [alert(str(n), Severity.CRITICAL if n == 7 else Severity.ERROR) for n in range(30)])
    manager.deliver()
    assert memory.titles == ["DIGEST: 30 new alerts"]
    assert memory.posts[0][1].fields[0][1].startswith("CRITICAL: 7 is wrong")
    manager.observe("here", [alert(str(n)) for n in range(40)])
    manager.deliver()
    assert len(memory.posts) == 1 or memory.titles[1] == "DIGEST: 10 new alerts"
    clock.forward(60)
    manager.observe("here", [])
    manager.deliver()
    assert Counter(item.event for _, item in memory.items) == {Event.FIRING: 40, Event.RESOLVED: 40}
    assert len(memory.posts) <= 3


def test_what_stays_open_is_told_again_after_a_day(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    for _ in range(50):
        manager.observe("here", [alert("a")])
        manager.deliver()
        clock.forward(3600)
    assert memory.titles == [
        "ERROR: a is wrong",
        "ERROR, still firing after 1 d 0 h: a is wrong",
        "ERROR, still firing after 2 d 0 h: a is wrong",
    ]


def test_what_becomes_worse_is_told_at_once(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    def go(*alerts: Severity) -> None:
        manager.observe("here", [alert("a", severity) for severity in alerts])
        manager.deliver()
        clock.forward(1)

    go(Severity.WARNING)
    go(Severity.ERROR)
    go(Severity.WARNING)
    go(Severity.ERROR)
    assert memory.titles == ["WARNING: a is wrong", "ERROR, escalated: a is wrong"]
    go()
    go(Severity.WARNING)
    assert len(memory.posts) == 3
    go(Severity.CRITICAL)
    assert memory.titles[3] == "CRITICAL, escalated: a is wrong"


def test_a_channel_that_is_new_is_told_what_is_open(alert_settings: Settings, clock: Clock, memory: Memory) -> None:
    quiet = AlertManager(alert_settings, clock, [])
    quiet.observe("here", [alert("a"), alert("gone")])
    quiet.observe("here", [alert("a")])
    manager = AlertManager(alert_settings, clock, [memory])
    manager.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    quiet.observe("here", [])
    manager.deliver()
    assert len(memory.posts) == 2


def test_what_is_raised_and_how_far_was_read_are_kept_together(manager: AlertManager) -> None:
    with manager.transaction("log") as transaction:
        assert transaction.cursor is None
        transaction.cursor = "7"
    with pytest.raises(RuntimeError), manager.transaction("log") as transaction:
        transaction.raise_(alert("a"))
        transaction.cursor = "8"
        raise RuntimeError
    with manager.transaction("log") as transaction:
        assert transaction.cursor == "7"
        assert transaction.open() == []


def test_a_process_that_dies_after_the_post_posts_again_under_the_same_key(
    manager: AlertManager, clock: Clock, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = memory.post

    def die(message: Message) -> None:
        keep(message)
        raise KeyboardInterrupt

    manager.raise_("here", alert("a"))
    monkeypatch.setattr(memory, "post", die)
    with pytest.raises(KeyboardInterrupt):
        manager.deliver()
    monkeypatch.undo()
    manager.deliver()
    assert len({message.key for _, message in memory.posts}) == 1
    assert len(memory.posts) == 2


def test_two_that_deliver_at_once_tell_once(alert_settings: Settings, clock: Clock, memory: Memory) -> None:
    managers = [AlertManager(alert_settings, clock, [memory]) for _ in range(4)]
    managers[0].observe("here", [alert(str(n)) for n in range(4)])
    start = Barrier(4)

    def deliver(manager: AlertManager) -> None:
        start.wait()
        manager.deliver()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, managers))
    managers[0].deliver()
    assert sorted(memory.titles) == [f"ERROR: {n} is wrong" for n in range(4)]


def test_two_that_raise_at_once_open_one(alert_settings: Settings, memory: Memory, clock: Clock) -> None:
    managers = [AlertManager(alert_settings, clock, [memory]) for _ in range(4)]
    start = Barrier(4)

    def act(manager: AlertManager) -> None:
        start.wait()
        manager.raise_("here", alert("a"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, managers))
    managers[0].deliver()
    assert memory.titles == ["ERROR: a is wrong"]


def test_what_is_over_for_a_month_is_forgotten(manager: AlertManager, clock: Clock, alert_settings: Settings) -> None:
    manager.raise_("here", alert("old"))
    manager.deliver()
    manager.recover("here", "old")
    manager.deliver()
    clock.forward(31 * 86_400)
    manager.raise_("here", alert("new"))
    with store.engine(alert_settings).begin() as connection:
        assert connection.execute(sa.select(store.incidents.c.fingerprint)).scalars().all() == ["new"]


# What may happen, in any order: what, to which fingerprint or for how long, and whether it is delivered at once.
STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.sampled_from(["raise", "raise", "recover", "worse"]), st.sampled_from("ab")),
            st.tuples(st.just("wait"), st.sampled_from([1, 61, 300, 1000])),
            st.tuples(st.sampled_from(["down", "up", "storm", "calm"]), st.none()),
        ),
        st.booleans(),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_nothing_is_lost_nothing_repeats_and_recoveries_come_once(steps: list[tuple[tuple[str, object], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        memory = Memory(clock)
        chosen = Settings(
            crypto_platform_home=Path(folder), alert_cooldown_seconds=HOLD, alert_repeat_interval_hours=1e6
        )
        manager = AlertManager(chosen, clock, [memory])
        incidents: list[Lived] = []
        is_open: dict[str, Lived] = {}
        for (what, argument), at_once in steps:
            concerned = "cdefghij" if what in ("storm", "calm") else str(argument)
            if what in ("raise", "worse", "storm"):
                severity = Severity.CRITICAL if what == "worse" else Severity.ERROR
                for fingerprint in concerned:
                    manager.raise_("here", alert(fingerprint, severity))
                    if fingerprint not in is_open:
                        is_open[fingerprint] = Lived(fingerprint, clock.now)
                        incidents.append(is_open[fingerprint])
            elif what in ("recover", "calm"):
                for fingerprint in concerned:
                    assert manager.recover("here", fingerprint) is (fingerprint in is_open)
                    if fingerprint in is_open:
                        is_open.pop(fingerprint).recovered = clock.now
            elif what == "wait":
                clock.forward(float(str(argument)))
            else:
                memory.down = what == "down"
            if at_once:
                manager.deliver()
        memory.down = False
        while manager.pending()[0].messages:
            clock.forward(61)
            manager.deliver()
        store.engine(chosen).dispose()
    check(incidents, memory)


class Lived:
    """An incident as the test made it."""

    def __init__(self, fingerprint: str, opened: datetime) -> None:
        self.fingerprint = fingerprint
        self.opened = opened
        self.recovered: datetime | None = None


def check(incidents: list[Lived], memory: Memory) -> None:
    """What the channel was told, against what happened."""
    hold = timedelta(seconds=HOLD)
    opening = (Event.FIRING, Event.ESCALATED)
    for fingerprint in {e.fingerprint for e in incidents}:
        lived = [e for e in incidents if e.fingerprint == fingerprint]
        told = [(at, item) for at, item in memory.items if item.alert.fingerprint == fingerprint]
        alerts = [at for at, item in told if item.event == Event.FIRING]
        assert all(b - a >= hold for a, b in itertools.pairwise(alerts)), "repeated within the window"
        # A condition's events come as opened, perhaps worse, recovered; the recovery says which incident it was.
        recoveries = [item.at for _, item in told if item.event == Event.RESOLVED]
        # Several incidents may end at one instant of the test's clock.
        assert Counter(recoveries) <= Counter(e.recovered for e in lived), "a recovery was sent twice, or never was"
        silent = [e for e in lived if e.recovered is not None and e.recovered not in recoveries]
        for incident in silent:
            assert incident.recovered is not None
            near = [at for at, item in told if item.event in opening and at + hold > incident.recovered]
            assert near, "an incident was never told"
        if lived[-1].recovered is None:
            assert any(at >= lived[-1].opened and item.event in opening for at, item in told), "open and not sent"
        kinds = [item.event for _, item in told]
        for before, after in zip([None, *kinds], kinds, strict=False):
            assert after != Event.RESOLVED or before in opening, "a recovery without its alert"
    minutes = [at for at, _ in memory.posts]
    for at in minutes:
        assert sum(at <= other < at + timedelta(minutes=1) for other in minutes) <= 6, "a storm went through"


def test_the_check_sees_what_is_wrong(clock: Clock, memory: Memory, manager: AlertManager) -> None:
    lived = Lived("a", NOON)
    with pytest.raises(AssertionError, match="not sent"):
        check([lived], memory)
    manager.raise_("here", alert("a"))
    manager.deliver()
    check([lived], memory)
    twice = [*memory.posts, *memory.posts]
    with pytest.raises(AssertionError, match="repeated"):
        check([lived], replace(memory, posts=twice))


def test_tables_that_another_process_makes_at_the_same_time_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, tries = store.metadata.create_all, []

    def lost_the_race(engine: sa.Engine) -> None:
        tries.append(engine)
        if len(tries) == 1:
            raise IntegrityError("", None, Exception("duplicate key value in pg_type_typname_nsp_index"))
        make(engine)

    monkeypatch.setattr(store.metadata, "create_all", lost_the_race)
    assert AlertManager(Settings(crypto_platform_home=tmp_path)).open() == []
    assert len(tries) == 2
