"""Publishing to a real broker."""

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from crypto_platform.connectors.kafka.admin import TopicError, client_config, ensure_topic, topic_state
from crypto_platform.connectors.kafka.producer import PublishError, publish
from crypto_platform.connectors.lake import LakeDay
from crypto_platform.market import bars, dataset
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox


def messages(settings: Settings, feed: str) -> list:
    """Everything on the feed's topic, in the order of partition and offset."""
    state = topic_state(settings, feed)
    consumer = Consumer(client_config(settings) | {"group.id": feed, "enable.auto.commit": False})
    consumer.assign([TopicPartition(state.topic, p, first) for p, first in state.earliest.items()])
    found = []
    try:
        while len(found) < sum(state.end.values()) - sum(state.earliest.values()):
            found += [m for m in consumer.consume(1000, timeout=1) if m.error() is None]
    finally:
        consumer.close()
    return sorted(found, key=lambda m: (m.partition(), m.offset()))


def test_messages_are_the_lakes_lines_with_key_and_headers(sandbox: Settings) -> None:
    feed = factories.feed_name()
    day = factories.day(
        {"BTC/USD": [factories.bar(m) for m in range(5)], "ETH/USD": [factories.bar(m) for m in range(3)]}
    )
    before = datetime.now(UTC)
    report = publish(sandbox, feed, [day], "run-7")
    assert report.messages == 8
    assert report.by_day == {factories.DAY: {"BTC/USD": 5, "ETH/USD": 3}}
    assert sum(last - first + 1 for first, last in report.offsets.values()) == 8
    found = messages(sandbox, feed)
    assert sorted(m.value() for m in found) == sorted(
        line for section in day.sections.values() for line in section.lines
    )
    for message in found:
        assert dict(message.headers()) == {
            dataset.HEADER_SCHEMA_VERSION: b"1",
            dataset.HEADER_SOURCE: b"rest",
            dataset.HEADER_RUN_ID: b"run-7",
            dataset.HEADER_OBSERVED_AT: b"2026-01-05T12:00:00.000000Z",
        }
        kind, milliseconds = message.timestamp()
        assert kind == 2, "record times are the broker's, or retention would delete a backfill"
        assert milliseconds / 1000 >= before.timestamp() - 1
    assert len({m.partition() for m in found if m.key() == b"BTC/USD"}) == 1


def test_progress_and_an_empty_day(sandbox: Settings) -> None:
    told: list[int] = []
    day = factories.day({"BTC/USD": [], "ETH/USD": [factories.bar(0)]})
    report = publish(sandbox, factories.feed_name(), [day], "run", told.append)
    assert report.by_day == {factories.DAY: {"BTC/USD": 0, "ETH/USD": 1}}
    assert told == [0, 1]


def test_an_oversized_message_is_named(sandbox: Settings) -> None:
    huge = factories.line("BTC/USD", factories.bar(1) | {"x": "x" * 2_000_000})
    with pytest.raises(PublishError, match=r"BTC/USD 2026-01-02T00:01:00Z .*refused for its 2000\d\d\d bytes"):
        publish(sandbox, factories.feed_name(), [factories.day({"BTC/USD": [factories.bar(0), huge]})], "run")


def test_a_message_over_the_topics_own_limit_is_named(sandbox: Settings) -> None:
    feed = factories.feed_name()
    admin = AdminClient(client_config(sandbox))
    config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "2000"}
    admin.create_topics([NewTopic(bars.BARS.topic(feed), 1, 1, config=config)])[bars.BARS.topic(feed)].result()
    # Random enough not to be compressed below the limit.
    large = factories.line("BTC/USD", factories.bar(1) | {"x": os.urandom(4000).hex()})
    with pytest.raises(PublishError, match=r"BTC/USD 2026-01-02T00:01:00Z .*refused for its 8\d\d\d bytes"):
        publish(sandbox, feed, [factories.day({"BTC/USD": [large]})], "run")


def test_a_topic_with_the_producers_time_is_refused_with_its_mend(sandbox: Settings) -> None:
    feed = factories.feed_name()
    topic = bars.BARS.topic(feed)
    admin = AdminClient(client_config(sandbox))
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    with pytest.raises(TopicError, match=rf"--alter --topic {topic} --add-config message.timestamp.type=LogAppendTime"):
        ensure_topic(sandbox, feed)


def test_a_missing_topic_is_named(sandbox: Settings) -> None:
    with pytest.raises(TopicError, match=r"market\.nothing\.bars does not exist .* kafka/nothing_bars_topic"):
        topic_state(sandbox, "nothing")


def test_no_broker_is_named(fresh_settings: Settings) -> None:
    nowhere = fresh_settings.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_request_timeout_seconds": 2.0}
    )
    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1"):
        ensure_topic(nowhere, "crypto")


def test_a_broker_killed_while_producing_loses_and_doubles_nothing(fresh_settings: Settings) -> None:
    with supervise.sandbox(fresh_settings, {"kafka"}) as settings:
        feed = factories.feed_name()
        broker = next(s.pid for s in supervise.status(settings) if s.name == "kafka")
        lines = [factories.line("BTC/USD", factories.bar(m)) for m in range(20_000)]

        def days() -> Iterator[LakeDay]:
            for part in range(4):
                if part == 2:
                    assert broker
                    os.kill(broker, signal.SIGKILL)
                yield factories.day({"BTC/USD": lines[part * 5000 : (part + 1) * 5000]})

        report = publish(settings, feed, days(), "run")
        assert report.messages == 20_000
        assert next(s.pid for s in supervise.status(settings) if s.name == "kafka") != broker, "it was never killed"
        assert [m.value() for m in messages(settings, feed)] == lines


def test_a_broker_that_stays_away_is_an_error_that_says_what_is_unknown(fresh_settings: Settings) -> None:
    with supervise.sandbox(fresh_settings, {"kafka"}) as settings:
        impatient = settings.model_copy(update={"kafka_delivery_timeout_seconds": 2.0})
        feed = factories.feed_name()
        ensure_topic(impatient, feed)
        broker = next(s.pid for s in supervise.status(settings) if s.name == "kafka")
        stopped = threading.Event()

        def days() -> Iterator[LakeDay]:
            yield factories.day({"BTC/USD": [factories.bar(0)]})
            assert broker
            os.kill(broker, signal.SIGSTOP)
            stopped.set()
            yield factories.day({"BTC/USD": [factories.bar(1)]})

        try:
            with pytest.raises(PublishError, match="may or may not have been written"):
                publish(impatient, feed, days(), "run")
        finally:
            if stopped.is_set() and broker:
                os.kill(broker, signal.SIGCONT)
        assert stopped.is_set()
