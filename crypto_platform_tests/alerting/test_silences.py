"""What is acknowledged is not sent again, what is silenced not before the silence ends."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.alerting import store
from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.alerting.message import Event
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, Clock, Memory, alert

HOUR = 3600.0


def in_hours(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def test_what_is_acknowledged_has_no_reminders_until_it_escalates(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    def go(severity: Severity = Severity.WARNING) -> None:
        manager.raise_("here", alert("a", severity))
        manager.deliver()
        clock.forward(25 * HOUR)

    go()
    memory.down = True
    go()
    assert manager.pending()[0].messages == 1, "the reminder waits"
    assert manager.acknowledge("a", "Anna", "waits for Alpaca")
    memory.down = False
    go()
    go()
    assert [item.event for _, item in memory.items] == [Event.FIRING]
    [known] = manager.open()
    assert (known.acknowledged_by, known.note) == ("Anna", "waits for Alpaca")
    assert known.acknowledged_at == in_hours(50)
    go(Severity.ERROR)
    assert manager.open()[0].acknowledged_at is None
    go(Severity.ERROR)
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.ESCALATED, Event.REMINDER]


def test_what_is_acknowledged_and_resolved_opens_anew_without_it(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    manager.raise_("here", alert("a"))
    manager.deliver()
    manager.acknowledge("a", "Anna")
    manager.recover("here", "a")
    clock.forward(HOUR)
    manager.raise_("here", alert("a"))
    manager.deliver()
    assert manager.open()[0].acknowledged_at is None
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED, Event.FIRING]


def test_only_what_is_open_can_be_acknowledged(manager: AlertManager) -> None:
    assert not manager.acknowledge("a", "Anna")
    manager.raise_("here", alert("a"))
    manager.recover("here", "a")
    assert not manager.acknowledge("a", "Anna")


def test_what_fires_in_a_silence_is_recorded_and_sent_when_it_ends(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    manager.silence(in_hours(2), "Anna", feed="crypto")
    manager.observe("here", [alert("a", feed="crypto"), alert("b", feed="us_equity"), alert("gone", feed="crypto")])
    manager.deliver()
    assert memory.titles == ["ERROR: b is wrong · us_equity"]
    assert {one.alert.fingerprint: one.silenced_until for one in manager.open()} == {
        "a": in_hours(2),
        "b": None,
        "gone": in_hours(2),
    }
    clock.forward(HOUR)
    manager.recover("here", "gone")
    clock.forward(HOUR - 1)
    manager.deliver()
    assert len(memory.posts) == 1
    clock.forward(1)
    manager.deliver()
    assert memory.titles[1:] == ["ERROR: a is wrong · crypto"]
    assert manager.pending()[0].messages == 0


def test_what_came_and_went_in_a_silence_is_not_sent_by_a_channel_that_was_down(
    manager: AlertManager, clock: Clock, memory: Memory
) -> None:
    manager.silence(in_hours(1), "Anna", kind="test")
    manager.raise_("here", alert("a"))
    clock.forward(60)
    manager.recover("here", "a")
    clock.forward(2 * HOUR)
    manager.deliver()
    assert memory.posts == []


def test_what_was_sent_before_a_silence_is_resolved_in_it(manager: AlertManager, clock: Clock, memory: Memory) -> None:
    manager.raise_("here", alert("a"))
    manager.deliver()
    manager.silence(in_hours(48), "Anna", fingerprint="a")
    clock.forward(25 * HOUR)
    manager.raise_("here", alert("a", Severity.CRITICAL))
    manager.deliver()
    manager.recover("here", "a")
    manager.deliver()
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED]


def test_a_silence_matches_all_that_it_names(manager: AlertManager) -> None:
    manager.silence(in_hours(1), "Anna", feed="crypto", kind="freshness")
    [silence] = manager.silences()
    assert silence.matches(alert(feed="crypto", kind="freshness"))
    assert not silence.matches(alert(feed="crypto", kind="process"))
    assert not silence.matches(alert(kind="freshness"))


def test_a_silence_can_be_ended_and_ends_by_itself(
    manager: AlertManager, clock: Clock, memory: Memory, alert_settings: Settings
) -> None:
    later = manager.silence(in_hours(2), "Anna", fingerprint="a")
    sooner = manager.silence(in_hours(1), "Bo", fingerprint="a", note="short")
    manager.raise_("here", alert("a"))
    assert [(one.id, one.created_by, one.note) for one in manager.silences()] == [
        (sooner, "Bo", "short"),
        (later, "Anna", ""),
    ]
    assert manager.unsilence(later)
    assert not manager.unsilence(later)
    manager.deliver()
    assert memory.posts == []
    clock.forward(HOUR)
    assert manager.silences() == []
    manager.deliver()
    assert len(memory.posts) == 1
    clock.forward(31 * 24 * HOUR)
    manager.raise_("here", alert("new"))
    with store.engine(alert_settings).begin() as connection:
        assert connection.execute(sa.select(store.silences)).all() == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"feed": "crypto", "ends_at": NOON}, "ended at 2026-03-29 12:00 UTC"),
        ({"ends_at": in_hours(1)}, "needs a feed"),
    ],
)
def test_a_silence_that_has_ended_or_matches_everything_is_refused(
    given: dict[str, object], says: str, manager: AlertManager
) -> None:
    with pytest.raises(ValueError, match=says):
        manager.silence(by="Anna", **given)  # type: ignore[arg-type]
    assert manager.silences() == []


# What may happen, in any order: what, and for how many seconds.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["raise", "worse", "recover", "end"]), st.just(0)),
        st.tuples(st.sampled_from(["wait", "silence"]), st.sampled_from([5, 50, 90])),
    ),
    max_size=20,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nothing_is_sent_in_a_silence_and_what_still_fires_is_sent_after(steps: list[tuple[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        memory = Memory(clock)
        chosen = Settings(crypto_platform_home=Path(folder), alert_cooldown_seconds=0, alert_max_per_minute=1000)
        manager = AlertManager(chosen, clock, [memory])
        for what, seconds in steps:
            if what in ("raise", "worse"):
                manager.raise_("here", alert("a", Severity.CRITICAL if what == "worse" else Severity.ERROR))
            elif what == "recover":
                manager.recover("here", "a")
            elif what == "silence":
                manager.silence(clock.now + timedelta(seconds=seconds), "Anna", fingerprint="a")
            elif what == "end":
                for silence in manager.silences():
                    manager.unsilence(silence.id)
            else:
                clock.forward(seconds)
            before = len(memory.items)
            manager.deliver()
            sent = [item.event for _, item in memory.items[before:]]
            assert not manager.silences() or set(sent) <= {Event.RESOLVED}
        clock.forward(100)
        manager.deliver()
        is_open = bool(manager.open())
        store.engine(chosen).dispose()
        assert manager.pending()[0].messages == 0
    # Each resolution has its alert, and the last word is what is true.
    events = [item.event for _, item in memory.items]
    for before_it, event in zip([None, *events], events, strict=False):
        assert event != Event.RESOLVED or before_it in (Event.FIRING, Event.ESCALATED)
    assert is_open == (bool(events) and events[-1] != Event.RESOLVED)
