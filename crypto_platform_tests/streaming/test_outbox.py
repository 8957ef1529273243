"""From the spool to a real broker: late, but in order and once."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.settings import Settings
from crypto_platform.streaming import outbox as outboxes
from crypto_platform.streaming.outbox import Outbox
from crypto_platform_tests import factories
from crypto_platform_tests.streaming.conftest import published, wait_for

pytestmark = pytest.mark.sandbox

LIMIT = 10**8


def messages(feed: str, count: int, **fields: object) -> list[Message]:
    return [
        Message(feed, "BTC/USD", factories.line("BTC/USD", factories.bar(n, **fields)), "stream", datetime.now(UTC))
        for n in range(count)
    ]


def test_bars_wait_on_disk_for_a_kafka_that_is_away(sandbox: Settings, tmp_path: Path) -> None:
    feed = factories.feed_name()
    path = tmp_path / "spool.sqlite"
    nowhere = sandbox.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_request_timeout_seconds": 0.5}
    )
    outbox = Outbox(nowhere, Spool(path, LIMIT), "run-1")
    put = messages(feed, 30)
    outbox.put(put[:10])
    wait_for(lambda: outbox.problem)
    outbox.put(put[10:])
    assert "127.0.0.1:1" in (outbox.problem or "")
    assert not outbox.close(0.1)
    confirmed: list[Message] = []
    outbox = Outbox(sandbox, Spool(path, LIMIT), "run-2", lambda message, at: confirmed.append(message))
    assert outbox.wait_until_empty(30)
    assert outbox.close(1)
    assert confirmed == put
    assert [m.bar["t"] for m in published(sandbox, feed)] == [factories.bar(n)["t"] for n in range(30)]


def test_a_message_that_kafka_never_takes_is_put_aside_and_holds_nothing_up(sandbox: Settings, tmp_path: Path) -> None:
    feed = factories.feed_name()
    refused: list[str] = []
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)
    outbox = Outbox(sandbox, spool, "run", refused=lambda message, reason: refused.append(reason))
    (huge,) = messages(feed, 1, x="x" * 2_000_000)
    good = messages(feed, 5)
    outbox.put([*good[:2], huge, *good[2:]])
    assert outbox.wait_until_empty(30)
    (aside,) = spool.refused()
    assert outbox.close(1)
    assert aside.message == huge
    assert [aside.reason] == refused
    assert "MSG_SIZE_TOO_LARGE" in aside.reason
    assert [m.bar["t"] for m in published(sandbox, feed)] == [factories.bar(n)["t"] for n in range(5)]


class Gone:
    """A producer of brokers that went away: it takes everything and tells nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken = 0

    def produce(self, *_: Any, **__: Any) -> None:
        self.taken += 1

    def poll(self, seconds: float) -> int:
        return 0

    def purge(self) -> None:
        """Nothing is to be given back."""

    def flush(self, seconds: float) -> int:
        return self.taken


def test_brokers_that_go_away_and_say_nothing_are_a_problem(
    sandbox: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = factories.feed_name()
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)
    gone = Gone()
    monkeypatch.setattr(outboxes, "new_producer", lambda *_, **__: gone)
    outbox = Outbox(sandbox, spool, "run")
    (bar,) = messages(feed, 1)
    outbox.put([bar])
    wait_for(lambda: gone.taken)
    assert outbox.problem is None
    old = Message(feed, bar.symbol, bar.value, bar.source, datetime.now(UTC) - timedelta(seconds=40))
    spool.remove([number for number, _ in spool.after(0, 1)])
    outbox.put([old])
    assert "has not confirmed the oldest bar for 40 s" in (outbox.problem or "")
    assert not outbox.close(0)


@pytest.mark.parametrize("broken", ["after", "remove", "produce"])
def test_whatever_goes_wrong_is_said_and_tried_again(
    sandbox: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    feed = factories.feed_name()
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)
    failures = iter([True, True])

    def failing(work: Any, error: Exception) -> Any:
        def once(*arguments: Any, **named: Any) -> Any:
            if next(failures, False):
                raise error
            return work(*arguments, **named)

        return once

    full = sqlite3.OperationalError("database or disk is full")
    if broken == "produce":

        class Broken:
            def __init__(self, producer: Any) -> None:
                self.produce = failing(producer.produce, KafkaException(KafkaError(KafkaError._STATE)))
                self.poll, self.purge, self.flush = producer.poll, producer.purge, producer.flush

        made_before = outboxes.new_producer
        monkeypatch.setattr(outboxes, "new_producer", lambda *a, **k: Broken(made_before(*a, **k)))
    else:
        monkeypatch.setattr(spool, broken, failing(getattr(spool, broken), full))
    outbox = Outbox(sandbox, spool, "run")
    outbox.put(messages(feed, 5))
    problem = wait_for(lambda: outbox.problem)
    assert "disk is full" in problem or "KafkaException" in problem
    assert outbox.wait_until_empty(30)
    wait_for(lambda: outbox.problem is None)
    assert outbox.close(1)
    assert {m.bar["t"] for m in published(sandbox, feed)} == {factories.bar(n)["t"] for n in range(5)}
