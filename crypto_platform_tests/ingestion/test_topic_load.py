"""The load on real parts: what goes in comes out once, whatever happens on the way."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from crypto_platform.connectors.kafka.admin import client_config, topic_state
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.lake import LakeDay
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.ledger_checks import Balance, balance
from crypto_platform.connectors.snowflake.offsets_table import offsets_table
from crypto_platform.connectors.spark import session
from crypto_platform.failpoints import CRASH_POINTS
from crypto_platform.ingestion import ledger as load_module
from crypto_platform.ingestion import offsets, topic_load
from crypto_platform.ingestion.ledger import LoadNotCommittedError
from crypto_platform.ingestion.ledger_loss import LedgerLoss
from crypto_platform.ingestion.offsets import ConcurrentLoadError
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform.ingestion.stage import StageError
from crypto_platform.ingestion.staging_table import is_stale
from crypto_platform.market import bars
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform_tests import factories
from crypto_platform_tests.connectors.snowflake.relay import Cut, cutting_relay

pytestmark = pytest.mark.sandbox

# The connector cancels what took too long in a thread of its own, which finds the cut line too.
cut_line = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

LATER = factories.OBSERVED + timedelta(hours=1)


@pytest.fixture(scope="module")
def spark(sandbox: Settings) -> Iterator[Any]:
    opened = session(sandbox)
    yield opened
    opened.stop()


@pytest.fixture(scope="module")
def load(sandbox: Settings, spark: Any) -> Callable[[str], topic_load.LoadReport]:
    """A load in this process, again while an abandoned transaction of before still holds the offsets."""

    def run(feed: str) -> topic_load.LoadReport:
        while True:
            try:
                return topic_load.load(sandbox, feed, "run", spark=lambda: spark)
            except ConcurrentLoadError as error:
                assert "is taking these messages" in str(error)

    return run


def days() -> list[LakeDay]:
    """Two symbols, a correction of one bar, a repetition of another, and two messages that are rejected."""
    first = [factories.bar(m) for m in range(40)]
    broken = factories.bar(50, h=1, l=2)
    return [
        factories.day(
            {"BTC/USD": [*first, broken, b"\x00poison\xff"], "ETH/USD": [factories.bar(m, v=0, n=0) for m in range(30)]}
        ),
        factories.day({"BTC/USD": [factories.bar(3, c=100.7), factories.bar(4)]}, LATER),
    ]


EXPECTED = {"messages": 74, "loaded": 71, "unchanged": 1, "rejected": 2}


@pytest.fixture(scope="module")
def undisturbed(sandbox: Settings, load: Callable[[str], topic_load.LoadReport]) -> list[factories.Row]:
    """The ledger after the days above went through without any fault."""
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    load(feed)
    rows = factories.ledger(sandbox, feed)
    assert len(rows) == EXPECTED["loaded"]
    return rows


def check_whole(settings: Settings, feed: str, undisturbed: list[factories.Row]) -> None:
    """The tables equal those of an undisturbed run, and every message of the topic is accounted for once."""
    assert factories.ledger(settings, feed) == undisturbed
    assert [row[0] for row in factories.rejects(settings, feed)] == ["high is below low", "unreadable"]
    places = factories.places(settings, feed)
    assert len(places) == len(set(places))
    with connect(settings) as connection:
        (totals,) = connection.cursor().execute(
            "SELECT sum(message_count), sum(loaded), sum(unchanged), sum(rejected), sum(offset_gaps) FROM RAW.LOADS "
            "WHERE feed = %s",
            (feed,),
        )
        offsets = dict(
            connection.cursor()
            .execute(
                f"SELECT kafka_partition, next_offset FROM {offsets_table(feed)} WHERE topic = %s",
                (bars.BARS.topic(feed),),
            )
            .fetchall()
        )
        assert balance(connection, feed) == Balance(len(undisturbed), len(undisturbed))
    state = topic_state(settings, feed)
    assert offsets == state.end
    messages, loaded, unchanged, rejected, gaps = map(int, totals)
    assert messages == loaded + unchanged + rejected == sum(state.end.values())
    assert (loaded, rejected, gaps) == (EXPECTED["loaded"], EXPECTED["rejected"], 0)


def scratch_tables(settings: Settings) -> list[str]:
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            "SELECT table_name FROM information_schema.tables WHERE startswith(table_name, 'SCRATCH_')"
        )
        return [name for (name,) in rows]


# What is loaded


def test_the_ledger_holds_the_lakes_lines_to_the_last_digit(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    day = factories.day({"BTC/USD": [factories.bar(m) for m in range(100)], "ETH/USD": [factories.bar(0)]})
    publish(sandbox, feed, [day], "run")
    report = load(feed)
    assert (report.messages, report.loaded, report.unchanged, report.rejected, report.offset_gaps) == (
        101,
        101,
        0,
        0,
        0,
    )
    assert report.by_day == {factories.DAY: {"BTC/USD": (100, 0), "ETH/USD": (1, 0)}}
    expected = []
    for section in day.sections.values():
        for line in section.lines:
            sent = orjson.loads(line)
            sent["t"] = datetime.fromisoformat(sent["t"]).replace(tzinfo=None)
            expected.append((*(sent[f.wire] for f in bars.FIELDS), "rest", factories.OBSERVED.replace(tzinfo=None)))
    assert factories.ledger(sandbox, feed) == sorted(expected)
    assert report.load_id
    assert f"SCRATCH_{report.load_id.upper()}" not in scratch_tables(sandbox)
    assert not list(Path(sandbox.stage, feed).iterdir())


def test_loading_again_adds_nothing_and_needs_no_spark(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    first = load(feed)
    assert {name: getattr(first, name) for name in EXPECTED} == EXPECTED
    rows = factories.ledger(sandbox, feed)
    nowhere = sandbox.model_copy(update={"spark_remote": "sc://127.0.0.1:1"})
    nothing = topic_load.load(nowhere, feed, "run")
    assert (nothing.load_id, nothing.messages) == (None, 0)
    publish(sandbox, feed, days()[:1], "run")
    again = load(feed)
    assert (again.loaded, again.unchanged, again.rejected) == (0, 70, 2)
    assert factories.ledger(sandbox, feed) == rows
    assert again.metadata()["unchanged"] == 70


def test_corrections_become_versions_and_late_ones_history(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    for observed_at, close in ((LATER, 100.5), (LATER + timedelta(hours=1), 101.5), (factories.OBSERVED, 99.9)):
        publish(sandbox, feed, [factories.day({"BTC/USD": [factories.bar(0, c=close)]}, observed_at)], "run")
        assert load(feed).loaded == 1
    close, observed = factories.DATA_COLUMNS.index("close"), factories.DATA_COLUMNS.index("observed_at")
    versions = sorted((row[observed], row[close]) for row in factories.ledger(sandbox, feed))
    assert [c for _, c in versions] == [99.9, 100.5, 101.5]


def test_rejected_messages_keep_their_bytes_and_stop_nothing(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    poison = [b"\x00\xff", b"{}", factories.line("BTC/USD", factories.bar(1, o="NaN"))]
    publish(sandbox, feed, [factories.day({"BTC/USD": [factories.bar(0), *poison, factories.bar(2)]})], "run")
    report = load(feed)
    assert (report.loaded, report.rejected) == (2, 3)
    assert report.rejected_by_reason == {"unreadable": 2, "symbol is missing or unreadable": 1}
    found = factories.rejects(sandbox, feed)
    assert [(bytes(key), bytes(value)) for _, key, value in found] == [(b"BTC/USD", p) for p in poison]


def test_a_load_of_nothing_but_poison_moves_on(sandbox: Settings, load: Callable[[str], topic_load.LoadReport]) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, [factories.day({"BTC/USD": [b"poison"]})], "run")
    report = load(feed)
    assert (report.loaded, report.rejected, report.time_range) == (0, 1, None)
    assert load(feed).load_id is None


# Two at once


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine a lock keeps loads apart; between machines only the offsets do."""
    monkeypatch.setattr(topic_load, "loading", lambda *_: nullcontext())


@pytest.mark.usefixtures("two_machines")
def test_of_two_loads_the_one_that_finds_the_offsets_moved_keeps_nothing(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], spark: Any, undisturbed: list[factories.Row]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    connections = 0

    @contextmanager
    def connect_after_another_load() -> Iterator[Any]:
        nonlocal connections
        connections += 1
        if connections == 2:
            load(feed)
        with connect(sandbox) as connection:
            yield connection

    with pytest.raises(ConcurrentLoadError, match=r"(?i)nothing of this load was kept"):
        topic_load.load(sandbox, feed, "run", connect_after_another_load, lambda: spark)
    assert connections >= 2
    check_whole(sandbox, feed, undisturbed)


@pytest.mark.usefixtures("two_machines")
def test_of_two_loads_in_their_transactions_the_first_wins(
    sandbox: Settings, spark: Any, undisturbed: list[factories.Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    """The second waits for the lock of the first, and finds the offsets moved."""
    second_is_ready, first_is_inside, second_asks = threading.Event(), threading.Event(), threading.Event()
    outcome: list[BaseException | None] = []

    def reach(point: str) -> None:
        name = threading.current_thread().name
        if (name, point) == ("second", "after_begin"):
            second_is_ready.set()
            assert first_is_inside.wait(60)
        elif (name, point) == ("first", "after_begin"):
            assert second_is_ready.wait(60)
        elif (name, point) == ("first", "after_offsets"):
            first_is_inside.set()
            assert second_asks.wait(60)

    move = offsets.move

    def asking(*arguments: Any) -> None:
        if threading.current_thread().name == "second":
            second_asks.set()
        move(*arguments)

    monkeypatch.setattr(load_module, "reach", reach)
    monkeypatch.setattr(offsets, "move", asking)

    def second() -> None:
        try:
            topic_load.load(sandbox, feed, "second", spark=lambda: spark)
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=second, name="second")
    first = threading.Thread(target=lambda: topic_load.load(sandbox, feed, "first"), name="first")
    thread.start()
    first.start()
    thread.join()
    first.join()
    assert isinstance(outcome[0], ConcurrentLoadError)
    check_whole(sandbox, feed, undisturbed)


# Messages that are gone


def test_offsets_that_expired_stop_the_load_and_republishing_mends_it(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], undisturbed: list[factories.Row]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days()[:1], "run")
    state = topic_state(sandbox, feed)
    gone = {p: end // 2 for p, end in state.end.items() if end}
    admin = AdminClient(client_config(sandbox))
    for future in admin.delete_records([TopicPartition(state.topic, p, n) for p, n in gone.items()]).values():
        future.result()
    with pytest.raises(topic_load.OffsetsExpiredError) as error:
        load(feed)
    text = str(error.value)
    assert f"no longer holds {sum(gone.values())} messages" in text
    assert all(f"partition {p}: offsets 0 to {n - 1} ({n} messages)" in text for p, n in gone.items())
    assert f"crypto-platform republish --feed {feed}" in text
    assert factories.ledger(sandbox, feed) == []

    report = topic_load.accept_loss(sandbox, feed, "republish")
    assert report.skipped == sum(gone.values())
    publish(sandbox, feed, days(), "republish")
    load(feed)
    assert factories.ledger(sandbox, feed) == undisturbed
    assert topic_load.accept_loss(sandbox, feed, "republish").skipped == 0
    with connect(sandbox) as connection:
        notes = connection.cursor().execute("SELECT note FROM RAW.LOADS WHERE feed = %s AND note IS NOT NULL", (feed,))
        assert [note for (note,) in notes] == [text]


def test_a_topic_that_was_created_anew_stops_the_load_and_republishing_mends_it(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], undisturbed: list[factories.Row]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days()[:1], "run")
    load(feed)
    before = topic_state(sandbox, feed)
    admin = AdminClient(client_config(sandbox))
    admin.delete_topics([before.topic])[before.topic].result()
    factories.await_another_topic(sandbox, feed, before.topic_id)
    publish(sandbox, feed, days()[1:], "run")
    with pytest.raises(
        topic_load.TopicRecreatedError, match=rf"created again.*{re.escape(before.topic_id)}.*republish --feed {feed}"
    ):
        load(feed)
    report = topic_load.accept_loss(sandbox, feed, "republish")
    assert report.skipped is None
    assert set(report.after.values()) == {0}
    load(feed)
    assert factories.ledger(sandbox, feed) == undisturbed


def test_a_topic_that_the_brokers_lost_the_end_of_stops_the_load(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, [factories.day({"BTC/USD": [factories.bar(0)]})], "run")
    load(feed)
    with connect(sandbox) as connection:
        connection.cursor().execute(
            f"UPDATE {offsets_table(feed)} SET next_offset = 50 WHERE topic = %s AND next_offset = 1",
            (bars.BARS.topic(feed),),
        )
    with pytest.raises(topic_load.TopicRecreatedError, match="the brokers lost messages"):
        load(feed)


@pytest.mark.parametrize("statement", ["DROP TABLE {}", "DELETE FROM {} WHERE symbol = 'BTC/USD'"])
def test_versions_that_are_gone_from_the_ledger_are_given_up_and_loaded_again(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], undisturbed: list[factories.Row], statement: str
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    load(feed)
    asked = [
        RequestedPartition("BTC/USD", factories.DAY, LATER, 40),
        RequestedPartition("ETH/USD", factories.DAY, LATER, 30),
    ]
    assert topic_load.accept_ledger_loss(sandbox, feed, "republish") == LedgerLoss(0, [])
    with connect(sandbox) as connection:
        record(connection, feed, "1Min", asked, "run")
        connection.cursor().execute(statement.format(bars.BARS.ledger(feed)))
    # What is on the topic was loaded once, and is not loaded again.
    assert load(feed).load_id is None
    kept = factories.ledger(sandbox, feed)
    gone = len(undisturbed) - len(kept)
    assert gone > 0

    assert topic_load.accept_ledger_loss(sandbox, feed, "republish") == LedgerLoss(gone, [factories.DAY])
    assert topic_load.accept_ledger_loss(sandbox, feed, "republish") == LedgerLoss(0, [])
    with connect(sandbox) as connection:
        assert balance(connection, feed) == Balance(len(kept), len(kept))
        cursor = connection.cursor()
        rows = cursor.execute("SELECT loaded, note FROM RAW.LOADS WHERE feed = %s AND loaded < 0", (feed,)).fetchall()
        until = cursor.execute(
            "SELECT symbol, complete_until FROM RAW.REQUESTED_PARTITIONS WHERE feed = %s", (feed,)
        ).fetchall()
    ((loaded, note),) = rows
    assert (loaded, "given up" in note) == (-gone, True)
    # That these days were answered is taken back where the ledger lacks bars of the answer, and there alone.
    unanswered, answered = datetime.combine(factories.DAY, time()), LATER.replace(tzinfo=None)
    eth = answered if any(row[0] == "ETH/USD" for row in kept) else unanswered
    assert dict(until) == {"BTC/USD": unanswered, "ETH/USD": eth}

    publish(sandbox, feed, days(), "republish")
    load(feed)
    assert factories.ledger(sandbox, feed) == undisturbed
    with connect(sandbox) as connection:
        assert balance(connection, feed) == Balance(len(undisturbed), len(undisturbed))


# What breaks on the way


def test_a_spark_server_killed_while_writing_loads_nothing_and_the_next_load_everything(
    fresh_settings: Settings,
) -> None:
    # On servers of its own: the sessions that other tests share end with theirs.
    with supervise.sandbox(fresh_settings, {"kafka", "spark", "snowflake"}) as settings:
        feed = factories.feed_name()
        # So many that there is a time between the first Parquet file and the last.
        day = factories.day({"BTC/USD": [factories.bar(m % 1440) for m in range(100_000)]})
        published = publish(settings, feed, [day], "run").messages
        server = next(s.pid for s in supervise.status(settings) if s.name == "spark")
        killed = threading.Event()
        over = threading.Event()

        def kill_when_writing() -> None:
            while not over.is_set():
                # Many times a second, but not so often that nothing else gets to run.
                over.wait(0.02)
                if list(Path(settings.stage, feed).glob("*/_temporary/**/*.parquet")):
                    assert server
                    os.kill(server, signal.SIGKILL)
                    killed.set()
                    return

        thread = threading.Thread(target=kill_when_writing)
        thread.start()
        try:
            with pytest.raises(StageError, match=bars.BARS.topic(feed)):
                topic_load.load(settings, feed, "run")
        finally:
            over.set()
            thread.join()
        assert killed.is_set()
        assert factories.ledger(settings, feed) == []
        # Its keeper has started the server again.
        report = topic_load.load(settings, feed, "run")
        assert report.messages == published
        assert (report.loaded, report.unchanged) == (1440, published - 1440)


@cut_line
@pytest.mark.parametrize(
    ("statement", "cut"),
    [
        ("^BEGIN", "before"),
        (r"^UPDATE RAW\.\w+_OFFSETS", "before"),
        (r"^UPDATE RAW\.\w+_OFFSETS", "after"),
        ("^INSERT INTO RAW.T", "after"),
        ("^INSERT INTO RAW.LOADS", "after"),
        ("^COMMIT", "before"),
        ("^COMMIT", "lie"),
    ],
)
def test_a_line_cut_before_the_commit_keeps_nothing_and_the_next_load_heals_it(
    sandbox: Settings,
    load: Callable[[str], topic_load.LoadReport],
    spark: Any,
    undisturbed: list[factories.Row],
    statement: str,
    cut: Cut,
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    with cutting_relay(sandbox.sandbox_snowflake_port, statement, cut) as relay:
        through = sandbox.model_copy(
            update={
                "sandbox_snowflake_port": relay.server_port,
                "snowflake_network_timeout": 2,
                "snowflake_statement_timeout": 2,
            }
        )
        with pytest.raises(LoadNotCommittedError, match="nothing of it was kept"):
            topic_load.load(through, feed, "run", spark=lambda: spark)
        assert len(relay.fired) == 1
    assert factories.ledger(sandbox, feed) == []
    load(feed)
    check_whole(sandbox, feed, undisturbed)


@cut_line
def test_a_lost_reply_to_the_commit_is_a_success(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], spark: Any, undisturbed: list[factories.Row]
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    with cutting_relay(sandbox.sandbox_snowflake_port, "^COMMIT", "after") as relay:
        through = sandbox.model_copy(
            update={
                "sandbox_snowflake_port": relay.server_port,
                "snowflake_network_timeout": 2,
                "snowflake_statement_timeout": 2,
            }
        )
        report = topic_load.load(through, feed, "run", spark=lambda: spark)
        assert len(relay.fired) == 1
    assert {name: getattr(report, name) for name in EXPECTED} == EXPECTED
    check_whole(sandbox, feed, undisturbed)
    assert load(feed).load_id is None


RUN = """
import sys
from crypto_platform_tests.ingestion import test_topic_load as test_raw
from crypto_platform.ingestion import topic_load as raw
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.settings import Settings
settings, feed, action = Settings(), sys.argv[1], sys.argv[2]
publish(settings, feed, test_raw.days(), "run") if action == "publish" else raw.load(settings, feed, "run")
"""


def run_until(point: str, settings: Settings, feed: str, action: str) -> None:
    """Publish or load in a process of its own that is killed at `point`."""
    result = subprocess.run(
        [sys.executable, "-c", RUN, feed, action],
        env={**os.environ, **settings.environment(), "CRASH_AT": point},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == -signal.SIGKILL, f"{point} was never reached: {result.stderr[-2000:]}"


@pytest.mark.parametrize("point", [p for p in CRASH_POINTS if p.endswith("publish")])
def test_a_publish_killed_at_any_point_is_made_whole_by_the_next(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], undisturbed: list[factories.Row], point: str
) -> None:
    feed = factories.feed_name()
    run_until(point, sandbox, feed, "publish")
    publish(sandbox, feed, days(), "run")
    load(feed)
    rows = factories.ledger(sandbox, feed)
    assert rows == undisturbed


@pytest.mark.parametrize("point", [p for p in CRASH_POINTS if not p.endswith("publish")])
def test_a_load_killed_at_any_point_is_made_whole_by_the_next(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport], undisturbed: list[factories.Row], point: str
) -> None:
    feed = factories.feed_name()
    publish(sandbox, feed, days(), "run")
    run_until(point, sandbox, feed, "load")
    committed = point in ("after_commit", "before_clean_up")
    assert len(factories.ledger(sandbox, feed)) == (EXPECTED["loaded"] if committed else 0)
    assert (load(feed).load_id is None) == committed
    check_whole(sandbox, feed, undisturbed)


def test_leftovers_of_dead_loads_go_when_they_are_a_day_old(
    sandbox: Settings, load: Callable[[str], topic_load.LoadReport]
) -> None:
    feed = factories.feed_name()
    old = f"{datetime.now(UTC) - timedelta(days=2):%Y%m%dT%H%M%S}_0123456789ab"
    young = f"{datetime.now(UTC):%Y%m%dT%H%M%S}_0123456789ab"
    assert is_stale(old)
    assert not is_stale(young)
    folders = [Path(sandbox.stage, feed, load_id) for load_id in (old, young)]
    with connect(sandbox) as connection:
        for load_id, folder in zip((old, young), folders, strict=True):
            folder.mkdir(parents=True)
            connection.cursor().execute(f"CREATE TABLE RAW.SCRATCH_{load_id.upper()} (n FLOAT)")
        publish(sandbox, feed, [factories.day({"BTC/USD": [factories.bar(0)]})], "run")
        load(feed)
        assert [folder.exists() for folder in folders] == [False, True]
        left = scratch_tables(sandbox)
        assert f"SCRATCH_{old.upper()}" not in left
        assert f"SCRATCH_{young.upper()}" in left
        connection.cursor().execute(f"DROP TABLE RAW.SCRATCH_{young.upper()}")
