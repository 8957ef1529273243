"""The book's promises: nothing lost, nothing repeated within its window, a recovery once."""

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
from crypto_platform.alerting.book import Book
from crypto_platform.alerting.message import Event, Message
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, Clock, Memory, alert

HOLD = 900.0


def test_what_is_wrong_is_told_once_and_its_recovery_once(book: Book, clock: Clock, memory: Memory) -> None:
    for _ in range(3):
        book.observe("here", [alert("a", feed="crypto", partitions="2026-03-28")])
        book.deliver()
        clock.forward(10)
    assert memory.titles == ["ERROR: a is wrong · crypto, 2026-03-28"]
    for _ in range(3):
        book.observe("here", [])
        book.deliver()
        clock.forward(700)
    assert memory.titles[1:] == ["RESOLVED after 30 s: a is wrong · crypto, 2026-03-28"]
    assert book.open() == []


def test_a_source_sees_only_its_own(book: Book, memory: Memory) -> None:
    book.observe("here", [alert("a")])
    book.observe("there", [alert("b")])
    assert [episode.alert.fingerprint for episode in book.open()] == ["a", "b"]


def test_what_a_source_cannot_judge_stays_as_it_is(book: Book) -> None:
    book.observe("here", [alert("a"), alert("b")])
    book.observe("here", [], undecided={"a", "c"})
    assert [episode.alert.fingerprint for episode in book.open()] == ["a"]


def test_a_repeat_within_the_window_waits_and_is_forgotten_when_it_passes(
    book: Book, clock: Clock, memory: Memory
) -> None:
    def go(seconds: float, *fingerprints: str) -> None:
        clock.forward(seconds)
        book.observe("here", [alert(f) for f in fingerprints])
        book.deliver()

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


def test_a_failed_post_opens_no_window(book: Book, clock: Clock, memory: Memory) -> None:
    memory.down = True
    book.raise_("here", alert("a"))
    book.deliver()
    book.recover("here", "a")
    memory.down = False
    clock.forward(60)
    book.deliver()
    assert [item.event for _, item in memory.items] == [Event.FIRING, Event.RESOLVED]


def test_a_channel_that_is_down_is_asked_ever_more_seldom_and_loses_nothing(
    book: Book, clock: Clock, memory: Memory
) -> None:
    memory.down = True
    book.raise_("here", alert("a"))
    tries = []
    for _ in range(200):
        if book.deliver()[0].error:
            tries.append(clock.now)
        clock.forward(5)
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(tries)]
    assert gaps == [5, 10, 20, 40, 80, 160, 320]
    [waiting] = book.waiting()
    assert (waiting.messages, waiting.error) == (1, "it is down")
    memory.down = False
    clock.forward(600)
    book.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    assert book.waiting()[0].messages == 0


def test_one_channel_being_down_keeps_no_other_from_being_told(
    alert_settings: Settings, clock: Clock, memory: Memory
) -> None:
    other = Memory(clock, name="other", down=True)
    book = Book(alert_settings, clock, [other, memory])
    book.raise_("here", alert("a"))
    book.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    assert other.posts == []


def test_a_message_that_is_refused_holds_up_no_other(book: Book, clock: Clock, memory: Memory) -> None:
    memory.refused = {"a"}
    book.observe("here", [alert("a"), alert("b")])
    book.deliver()
    assert memory.titles == ["ERROR: b is wrong"]
    book.observe("here", [])
    book.deliver()
    assert memory.titles[1:] == ["RESOLVED after 0 s: b is wrong"]
    memory.refused = set()
    clock.forward(60)
    book.deliver()
    assert [item.event for _, item in memory.items][2:] == [Event.FIRING, Event.RESOLVED]


def test_a_storm_becomes_one_digest(book: Book, clock: Clock, memory: Memory) -> None:
    book.observe("here", [alert(str(n), Severity.CRITICAL if n == 7 else Severity.ERROR) for n in range(30)])
    book.deliver()
    assert memory.titles == ["DIGEST: 30 new alerts"]
    assert memory.posts[0][1].fields[0][1].startswith("CRITICAL: 7 is wrong")
    book.observe("here", [alert(str(n)) for n in range(40)])
    book.deliver()
    assert len(memory.posts) == 1 or memory.titles[1] == "DIGEST: 10 new alerts"
    clock.forward(60)
    book.observe("here", [])
    book.deliver()
    assert Counter(item.event for _, item in memory.items) == {Event.FIRING: 40, Event.RESOLVED: 40}
    assert len(memory.posts) <= 3


def test_what_stays_open_is_told_again_after_a_day(book: Book, clock: Clock, memory: Memory) -> None:
    for _ in range(50):
        book.observe("here", [alert("a")])
        book.deliver()
        clock.forward(3600)
    assert memory.titles == [
        "ERROR: a is wrong",
        "ERROR, still firing after 1 d 0 h: a is wrong",
        "ERROR, still firing after 2 d 0 h: a is wrong",
    ]


def test_what_becomes_worse_is_told_at_once(book: Book, clock: Clock, memory: Memory) -> None:
    def go(*alerts: Severity) -> None:
        book.observe("here", [alert("a", severity) for severity in alerts])
        book.deliver()
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
    quiet = Book(alert_settings, clock, [])
    quiet.observe("here", [alert("a"), alert("gone")])
    quiet.observe("here", [alert("a")])
    book = Book(alert_settings, clock, [memory])
    book.deliver()
    assert memory.titles == ["ERROR: a is wrong"]
    quiet.observe("here", [])
    book.deliver()
    assert len(memory.posts) == 2


def test_what_is_raised_and_how_far_was_read_are_kept_together(book: Book) -> None:
    with book.changes("log") as changes:
        assert changes.cursor is None
        changes.cursor = "7"
    with pytest.raises(RuntimeError), book.changes("log") as changes:
        changes.raise_(alert("a"))
        changes.cursor = "8"
        raise RuntimeError
    with book.changes("log") as changes:
        assert changes.cursor == "7"
        assert changes.open() == []


def test_a_process_that_dies_after_the_post_posts_again_under_the_same_key(
    book: Book, clock: Clock, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = memory.post

    def die(message: Message) -> None:
        keep(message)
        raise KeyboardInterrupt

    book.raise_("here", alert("a"))
    monkeypatch.setattr(memory, "post", die)
    with pytest.raises(KeyboardInterrupt):
        book.deliver()
    monkeypatch.undo()
    book.deliver()
    assert len({message.key for _, message in memory.posts}) == 1
    assert len(memory.posts) == 2


def test_two_that_deliver_at_once_tell_once(alert_settings: Settings, clock: Clock, memory: Memory) -> None:
    books = [Book(alert_settings, clock, [memory]) for _ in range(4)]
    books[0].observe("here", [alert(str(n)) for n in range(4)])
    start = Barrier(4)

    def deliver(book: Book) -> None:
        start.wait()
        book.deliver()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, books))
    books[0].deliver()
    assert sorted(memory.titles) == [f"ERROR: {n} is wrong" for n in range(4)]


def test_two_that_raise_at_once_open_one(alert_settings: Settings, memory: Memory, clock: Clock) -> None:
    books = [Book(alert_settings, clock, [memory]) for _ in range(4)]
    start = Barrier(4)

    def act(book: Book) -> None:
        start.wait()
        book.raise_("here", alert("a"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, books))
    books[0].deliver()
    assert memory.titles == ["ERROR: a is wrong"]


def test_what_is_over_for_a_month_is_forgotten(book: Book, clock: Clock, alert_settings: Settings) -> None:
    book.raise_("here", alert("old"))
    book.deliver()
    book.recover("here", "old")
    book.deliver()
    clock.forward(31 * 86_400)
    book.raise_("here", alert("new"))
    with store.engine(alert_settings).begin() as connection:
        assert connection.execute(sa.select(store.episodes.c.fingerprint)).scalars().all() == ["new"]


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


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_nothing_is_lost_nothing_repeats_and_recoveries_come_once(steps: list[tuple[tuple[str, object], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        memory = Memory(clock)
        chosen = Settings(
            crypto_platform_home=Path(folder), alert_cooldown_seconds=HOLD, alert_repeat_interval_hours=1e6
        )
        book = Book(chosen, clock, [memory])
        episodes: list[Lived] = []
        is_open: dict[str, Lived] = {}
        for (what, argument), at_once in steps:
            concerned = "cdefghij" if what in ("storm", "calm") else str(argument)
            if what in ("raise", "worse", "storm"):
                severity = Severity.CRITICAL if what == "worse" else Severity.ERROR
                for fingerprint in concerned:
                    book.raise_("here", alert(fingerprint, severity))
                    if fingerprint not in is_open:
                        is_open[fingerprint] = Lived(fingerprint, clock.now)
                        episodes.append(is_open[fingerprint])
            elif what in ("recover", "calm"):
                for fingerprint in concerned:
                    assert book.recover("here", fingerprint) is (fingerprint in is_open)
                    if fingerprint in is_open:
                        is_open.pop(fingerprint).recovered = clock.now
            elif what == "wait":
                clock.forward(float(str(argument)))
            else:
                memory.down = what == "down"
            if at_once:
                book.deliver()
        memory.down = False
        while book.waiting()[0].messages:
            clock.forward(61)
            book.deliver()
        store.engine(chosen).dispose()
    check(episodes, memory)


class Lived:
    """An episode as the test made it."""

    def __init__(self, fingerprint: str, opened: datetime) -> None:
        self.fingerprint = fingerprint
        self.opened = opened
        self.recovered: datetime | None = None


def check(episodes: list[Lived], memory: Memory) -> None:
    """What the channel was told, against what happened."""
    hold = timedelta(seconds=HOLD)
    opening = (Event.FIRING, Event.ESCALATED)
    for fingerprint in {e.fingerprint for e in episodes}:
        lived = [e for e in episodes if e.fingerprint == fingerprint]
        told = [(at, item) for at, item in memory.items if item.alert.fingerprint == fingerprint]
        alerts = [at for at, item in told if item.event == Event.FIRING]
        assert all(b - a >= hold for a, b in itertools.pairwise(alerts)), "repeated within the window"
        # A condition's events come as opened, perhaps worse, recovered; the recovery says which episode it was.
        recoveries = [item.at for _, item in told if item.event == Event.RESOLVED]
        assert len(recoveries) == len(set(recoveries)), "a recovery was told twice"
        assert set(recoveries) <= {e.recovered for e in lived}, "a recovery that never was"
        silent = [e for e in lived if e.recovered is not None and e.recovered not in recoveries]
        for episode in silent:
            assert episode.recovered is not None
            near = [at for at, item in told if item.event in opening and at + hold > episode.recovered]
            assert near, "an episode was never told"
        if lived[-1].recovered is None:
            assert any(at >= lived[-1].opened and item.event in opening for at, item in told), "open and untold"
        kinds = [item.event for _, item in told]
        for before, after in zip([None, *kinds], kinds, strict=False):
            assert after != Event.RESOLVED or before in opening, "a recovery without its alert"
    minutes = [at for at, _ in memory.posts]
    for at in minutes:
        assert sum(at <= other < at + timedelta(minutes=1) for other in minutes) <= 6, "a storm went through"


def test_the_check_sees_what_is_wrong(clock: Clock, memory: Memory, book: Book) -> None:
    lived = Lived("a", NOON)
    with pytest.raises(AssertionError, match="untold"):
        check([lived], memory)
    book.raise_("here", alert("a"))
    book.deliver()
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
    assert Book(Settings(crypto_platform_home=tmp_path)).open() == []
    assert len(tries) == 2
