"""The loader beside other loads: everything once, whoever was first."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from crypto_platform.connectors.kafka.admin import client_config, topic_state
from crypto_platform.connectors.kafka.producer import Outgoing, message_headers, publish, send
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.locks import is_followed
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.trading_statuses import TRADING_STATUSES, encode
from crypto_platform.settings import Settings
from crypto_platform.streaming import loader as loading
from crypto_platform.streaming.loader import Loader, Pace
from crypto_platform_tests import factories
from crypto_platform_tests.market.test_trading_statuses import EXAMPLE
from crypto_platform_tests.streaming.conftest import wait_for

pytestmark = pytest.mark.sandbox

# A server's first Spark job on a busy machine.
FIRST_JOB = 120


@pytest.fixture
def settings(sandbox: Settings, tmp_path: Path) -> Settings:
    return sandbox.model_copy(update={"loader_port": 0, "crypto_platform_home": tmp_path})


@contextmanager
def following(
    settings: Settings, feed: str, datasets: Iterable[Dataset] = (BARS,)
) -> Iterator[tuple[Loader, list[topic_load.LoadReport]]]:
    reports: list[topic_load.LoadReport] = []
    loader = Loader(settings, {feed: datasets}, lambda _feed, report: reports.append(report))
    stop = threading.Event()
    thread = threading.Thread(target=loader.run, args=(stop,))
    thread.start()
    try:
        yield loader, reports
    finally:
        stop.set()
        thread.join()


def bars(first: int, count: int) -> Any:
    return factories.day({"BTC/USD": [factories.bar(n) for n in range(first, first + count)]})


def test_what_is_published_is_loaded_without_being_asked_for(settings: Settings) -> None:
    feed = factories.feed_name()
    with following(settings, feed) as (loader, reports):
        wait_for(lambda: "does not exist" in (loader.health()[1]["feeds"][feed]["problem"] or ""))
        for number in range(3):
            publish(settings, feed, [bars(10 * number, 10)], "run")
            wait_for(lambda expected=10 * (number + 1): sum(r.loaded for r in reports) == expected, FIRST_JOB)
        assert loader.health()[0]
        assert is_followed(settings, BARS.topic(feed))
    assert not is_followed(settings, BARS.topic(feed))
    assert len(factories.ledger(settings, feed)) == 30


def test_an_interval_has_one_load_of_each_topic() -> None:
    pace, other = Pace(60.0), Pace(60.0)
    assert pace.is_due(1_000.0)
    pace.note(1_000.0)
    assert [pace.is_due(at) for at in (1_000.1, 1_019.9, 1_020.0)] == [False, False, True]
    # In the same moments, whenever each loaded last.
    other.note(961.0)
    assert [other.is_due(at) for at in (1_019.9, 1_020.0)] == [False, True]
    at_once = Pace(0.0)
    at_once.note(1_000.0)
    assert at_once.is_due(1_000.0)


def test_what_comes_within_the_interval_is_loaded_with_the_next_one(settings: Settings) -> None:
    feed = factories.feed_name()
    paced = settings.model_copy(update={"loader_interval_seconds": 3.0})
    with following(paced, feed) as (_, reports):
        for number in range(3):
            publish(settings, feed, [bars(10 * number, 10)], "run")
            wait_for(lambda expected=10 * (number + 1): sum(r.loaded for r in reports) == expected, FIRST_JOB)
    with connect(settings) as connection:
        statement = "SELECT started_at, finished_at FROM RAW.LOADS WHERE feed = %s ORDER BY 1"
        loads = rows(connection.cursor(), statement, (feed,))
    assert len(loads) == len(reports) == 3
    for (_, ended), (began, _) in pairwise(loads):
        assert began.timestamp() // 3 > ended.timestamp() // 3


def tell(settings: Settings, feed: str, *changes: dict[str, Any]) -> None:
    """Publish statuses as the stream does: the documented one with these changes."""
    headers = message_headers("stream", "run", datetime.now(UTC))
    lines = [encode("AAPL", {**EXAMPLE, **change}) for change in changes]
    send(settings, feed, [Outgoing(b"AAPL", line, headers) for line in lines], TRADING_STATUSES)


def test_statuses_that_were_deleted_before_they_were_loaded_can_be_given_up(settings: Settings) -> None:
    feed = factories.feed_name()
    tell(settings, feed, {}, {"sc": "T", "t": "2021-02-22T19:20:00Z"})
    state = topic_state(settings, feed, TRADING_STATUSES)
    ends = [TopicPartition(state.topic, p, end) for p, end in state.end.items() if end]
    # Kept: with the client its futures are gone.
    admin = AdminClient(client_config(settings))
    for future in admin.delete_records(ends).values():
        future.result()
    with pytest.raises(topic_load.OffsetsExpiredError, match="2 messages that were never loaded"):
        topic_load.load(settings, feed, "run", dataset=TRADING_STATUSES)
    assert topic_load.accept_loss(settings, feed, "republish", dataset=TRADING_STATUSES).skipped == 2
    tell(settings, feed, {"t": "2021-02-22T19:30:00Z"})
    assert topic_load.load(settings, feed, "run", dataset=TRADING_STATUSES).loaded == 1


def test_statuses_are_loaded_beside_bars_each_once_and_the_bad_are_rejected(settings: Settings) -> None:
    feed = factories.feed_name()
    with following(settings, feed, [BARS, TRADING_STATUSES]) as (loader, reports):
        name = f"{feed} trading_statuses"
        wait_for(lambda: "does not exist" in (loader.health()[1]["feeds"][name]["problem"] or ""))
        publish(settings, feed, [bars(0, 1)], "run")
        wait_for(lambda: sum(r.loaded for r in reports) == 1, FIRST_JOB)
        # That no stock was halted yet is no trouble.
        assert loader.health()[0]
        resumed = {"sc": "T", "t": "2021-02-22T19:20:00.123456789Z"}
        tell(settings, feed, {}, resumed, {"sc": "2"}, {"t": None}, {})
        tell(settings, feed, {}, resumed)
        wait_for(lambda: sum(r.messages for r in reports) == 8)
        labels = {"feed": feed, "dataset": "trading_statuses"}
        value = loader.metrics.registry.get_sample_value
        assert value("crypto_platform_loader_messages_total", {**labels, "outcome": "rejected"}) == 2
    with connect(settings) as connection:
        ledger = rows(
            connection.cursor(),
            f"SELECT symbol, status_at, status_code, reason_code, tape FROM {TRADING_STATUSES.ledger(feed)} ORDER BY 2",
        )
        rejected = rows(
            connection.cursor(), f"SELECT reason FROM {TRADING_STATUSES.rejects} WHERE feed = %s ORDER BY 1", (feed,)
        )
    assert [(symbol, f"{at:%H:%M:%S.%f}", *rest) for symbol, at, *rest in ledger] == [
        ("AAPL", "19:15:00.000000", "H", "T12", "C"),
        ("AAPL", "19:20:00.123456", "T", "T12", "C"),
    ]
    assert [reason for (reason,) in rejected] == [
        "status_at is missing or unreadable",
        "unknown status_code of the tape",
    ]


def test_loads_of_all_kinds_side_by_side_take_every_message_once(settings: Settings) -> None:
    feed = factories.feed_name()
    publish(settings, feed, [bars(0, 1)], "run")
    with following(settings, feed) as (_, reports), following(settings, feed) as (second, others):
        wait_for(lambda: reports or others, FIRST_JOB)
        for number in range(1, 4):
            publish(settings, feed, [bars(number, 1)], "run")
            # As a step of a run does, in the same moment.
            topic_load.load(settings, feed, "run")
        wait_for(lambda: len(factories.ledger(settings, feed)) == 4)
        assert bool(reports) != bool(others), "one follows, the other waits"
        assert second.health()
    places = factories.places(settings, feed)
    assert len(places) == len(set(places)) == sum(topic_state(settings, feed).end.values())


def test_what_waits_is_told_though_the_load_hangs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = factories.feed_name()
    publish(settings, feed, [bars(0, 7)], "run")
    topic_load.load(settings, feed, "run")
    publish(settings, feed, [bars(7, 5)], "run")
    go_on = threading.Event()

    def hangs(*_: Any, **__: Any) -> topic_load.LoadReport:
        go_on.wait()
        raise topic_load.LostMessagesError("it was stopped")

    monkeypatch.setattr(topic_load, "load", hangs)
    monkeypatch.setattr(loading, "LONGEST_LAG", 0.5)
    monkeypatch.setattr(loading, "LOST_SECONDS", 0.0)
    with following(settings, feed) as (loader, _):
        try:
            wait_for(lambda: "have waited for" in (loader.health()[1]["feeds"][feed]["problem"] or ""))
            labels = {"feed": feed, "dataset": BARS.name}
            assert loader.metrics.registry.get_sample_value("crypto_platform_loader_lag_messages", labels) == 5
        finally:
            go_on.set()


def test_a_missing_topic_is_no_trouble_and_a_missing_table_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = factories.feed_name()
    troubles: list[list[str]] = []

    class Heard:
        def __init__(self, *_: Any) -> None:
            """Tells nobody."""

        def observe(self, found: Any) -> None:
            troubles.append([trouble.summary for trouble in found])

    def refuses(*_: Any, **__: Any) -> topic_load.LoadReport:
        raise RuntimeError("Object 'RAW.BARS' does not exist or not authorized.")

    monkeypatch.setattr(loading, "Teller", Heard)
    monkeypatch.setattr(loading, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(topic_load, "load", refuses)
    with following(settings, feed) as (loader, _):
        wait_for(lambda: "does not exist" in (loader.health()[1]["feeds"][feed]["problem"] or ""))
        seen = len(troubles)
        wait_for(lambda: len(troubles) > seen + 2)
        assert not any(troubles)
        publish(settings, feed, [bars(0, 1)], "run")
        (what,) = wait_for(lambda: troubles[-1])
        assert "not authorized" in what


def test_both_sessions_end_once_they_have_served_enough_loads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    @contextmanager
    def connect(_settings: Settings, _component: str) -> Iterator[object]:
        opened.append("open")
        yield object()
        opened.append("closed")

    monkeypatch.setattr(loading, "connect", connect)
    monkeypatch.setattr(loading, "LOADS_A_SESSION", 2)
    kept = loading._Kept(settings)
    for _ in range(5):
        kept.renew()
        with kept.connect():
            pass
    assert opened == ["open", "closed", "open", "closed", "open"]
