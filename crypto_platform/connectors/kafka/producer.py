"""Publishing lake days to a feed's topic: the lake's line is the message, as it is."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from crypto_platform.connectors.kafka import admin
from crypto_platform.failpoints import reach
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import (
    HEADER_OBSERVED_AT,
    HEADER_RUN_ID,
    HEADER_SCHEMA_VERSION,
    HEADER_SOURCE,
    SCHEMA_VERSION,
    Dataset,
    format_time,
)
from crypto_platform.settings import Settings

Headers = list[tuple[str, str | bytes | None]]

_POLL_EVERY = 2_000
_QUEUE_MESSAGES = 200_000


class PublishError(RuntimeError):
    """Not every message is known to be in the topic."""


class Section(Protocol):
    """One symbol's bars of one day, as the lake keeps them."""

    @property
    def observed_at(self) -> datetime: ...
    @property
    def lines(self) -> list[bytes]: ...


class Day(Protocol):
    """One day of the lake: a section a symbol."""

    @property
    def day(self) -> date: ...
    @property
    def sections(self) -> dict[str, Section]: ...


@dataclass(frozen=True)
class PublishReport:
    """What one `publish` put into the topic; every message of it is confirmed by the brokers.

    `by_day` counts messages per day and symbol; `offsets` holds the first and the last offset per partition.
    """

    topic: str
    messages: int
    by_day: dict[date, dict[str, int]]
    offsets: dict[int, tuple[int, int]]
    seconds: float


def publish(
    settings: Settings,
    feed: str,
    days: Iterable[Day],
    run_id: str,
    progress: Callable[[int], None] | None = None,
    dataset: Dataset = BARS,
) -> PublishReport:
    """Publish `days` in order and wait until the brokers have confirmed every message.

    The topic is created if it is missing. `days` is read one at a time, so a generator over years is fine.
    `progress` is told the number of messages handed over since it was told last.

    Raises:
        PublishError: a message was refused or is not confirmed; what was confirmed stays in the topic, and
            publishing the same days again is safe: the load drops what it already has.
        crypto_platform.connectors.kafka.admin.TopicError: the topic cannot be made or is set up wrongly.
    """
    # First, because it takes half a second to be given its id as an idempotent producer.
    producer = new_producer(settings)
    topic = admin.ensure_topic(settings, feed, dataset)
    deliveries = _Deliveries(topic)
    by_day: dict[date, Counter[str]] = defaultdict(Counter)
    started = time.monotonic()
    reach("before_publish")
    try:
        for day in days:
            for symbol, section in day.sections.items():
                if section.lines:
                    headers = message_headers("rest", run_id, section.observed_at)
                    _produce(producer, deliveries, topic, symbol.encode(), section.lines, headers)
                by_day[day.day][symbol] += len(section.lines)
                if progress:
                    progress(len(section.lines))
            reach("during_publish")
        # Longer than the time after which librdkafka itself gives a message up, so that it has a report.
        unreported = producer.flush(settings.kafka_delivery_timeout_seconds + 10)
    except BaseException:
        producer.purge()
        raise
    deliveries.check(unreported, expected=sum(symbols.total() for symbols in by_day.values()))
    reach("after_publish")
    return PublishReport(
        topic=topic,
        messages=deliveries.count,
        by_day={day: dict(symbols) for day, symbols in by_day.items()},
        offsets={p: (first, last) for p, (first, last) in sorted(deliveries.offsets.items())},
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class Outgoing:
    """A message that is ready to be sent."""

    key: bytes
    value: bytes
    headers: Headers


def send(settings: Settings, feed: str, messages: Iterable[Outgoing], dataset: Dataset = BARS) -> int:
    """Publish messages as they are and wait until the brokers have confirmed every one; returns how many.

    Raises:
        PublishError: a message was refused or is not confirmed; what was confirmed stays in the topic.
        crypto_platform.connectors.kafka.admin.TopicError: the topic cannot be made or is set up wrongly.
    """
    producer = new_producer(settings)
    topic = admin.ensure_topic(settings, feed, dataset)
    deliveries = _Deliveries(topic)
    handed_over = 0
    for message in messages:
        _produce(producer, deliveries, topic, message.key, [message.value], message.headers)
        handed_over += 1
    deliveries.check(producer.flush(settings.kafka_delivery_timeout_seconds + 10), expected=handed_over)
    return deliveries.count


def message_headers(source: str, run_id: str, observed_at: datetime) -> Headers:
    """The headers of a message; `observed_at` is timezone-aware."""
    return [
        (HEADER_SCHEMA_VERSION, SCHEMA_VERSION.encode()),
        (HEADER_SOURCE, source.encode()),
        (HEADER_RUN_ID, run_id.encode()),
        (HEADER_OBSERVED_AT, format_time(observed_at).encode()),
    ]


def new_producer(settings: Settings, **options: object) -> Producer:
    """The producer of every message of the platform; `options` are librdkafka's, in place of the usual ones."""
    return Producer(_producer_config(settings) | options)


def _producer_config(settings: Settings) -> dict[str, object]:
    # https://docs.confluent.io/platform/current/clients/librdkafka/html/md_CONFIGURATION.html
    return admin.client_config(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 50,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": _QUEUE_MESSAGES,
        "delivery.timeout.ms": int(settings.kafka_delivery_timeout_seconds * 1000),
        # The partitioner of Java's clients, so that every producer puts a symbol into the same partition.
        "partitioner": "murmur2_random",
        "log_level": 0,
    }


class _Deliveries:
    """Every delivery report of one publish: confirmed offsets per partition, and the first failure."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.count = 0
        self.failed = 0
        self.first_failure: PublishError | None = None
        # Of a delivered message neither partition nor offset is None, as the library's types would have it.
        self.offsets: dict[Any, list[Any]] = {}

    def report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            if self.first_failure is None:
                self.first_failure = _failure(self.topic, message.key(), message.value(), error)
            return
        self.count += 1
        offset: Any = message.offset()
        bounds = self.offsets.get(message.partition())
        if bounds is None:
            self.offsets[message.partition()] = [offset, offset]
        elif offset > bounds[1]:
            bounds[1] = offset
        elif offset < bounds[0]:
            bounds[0] = offset

    def check(self, unreported: int, expected: int) -> None:
        if self.first_failure is not None:
            raise PublishError(
                f"{self.first_failure} ({self.failed} of {expected} messages failed, {self.count} are confirmed)"
            )
        if unreported or self.count != expected:
            raise PublishError(
                f"{expected - self.count} of {expected} messages to topic {self.topic} have no delivery report: "
                "they may or may not have been written. Publish the same days again: the load drops duplicates."
            )


def _produce(
    producer: Producer,
    deliveries: _Deliveries,
    topic: str,
    key: bytes,
    lines: list[bytes],
    headers: Headers,
) -> None:
    report = deliveries.report
    for start in range(0, len(lines), _POLL_EVERY):
        for line in lines[start : start + _POLL_EVERY]:
            while True:
                try:
                    producer.produce(topic, line, key, headers=headers, on_delivery=report)
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    raise _failure(topic, key, line, error.args[0]) from error
        producer.poll(0)
        if deliveries.first_failure is not None:
            producer.purge()
            producer.flush(5)
            deliveries.check(0, expected=deliveries.count + deliveries.failed)


def _failure(topic: str, key: bytes | None, value: bytes | None, error: KafkaError) -> PublishError:
    symbol = (key or b"?").decode(errors="replace")
    refused = error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    fate = (
        f"it was refused for its {len(value or b'')} bytes, more than the client's message.max.bytes or the "
        "topic's max.message.bytes"
        if refused
        else "it may or may not have been written; publish the same days again: the load drops duplicates"
    )
    return PublishError(f"bar {symbol} {_bar_time(value)} was not delivered to topic {topic}: {error.str()}; {fate}")


def _bar_time(value: bytes | None) -> str:
    try:
        return str(orjson.loads(value or b"")["t"])
    except (ValueError, TypeError, KeyError):
        return "of unknown time"
