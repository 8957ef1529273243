"""From the spool to Kafka, in order, for as long as it takes."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.kafka.producer import message_headers, new_producer
from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.market.dataset import Dataset
from crypto_platform.settings import Settings

log = logging.getLogger(__name__)

IN_FLIGHT = 20_000
# What the brokers will not take however often it is sent.
_NEVER = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
_GIVEN_UP = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_RETRY_SECONDS = 1.0
# librdkafka tells nothing of brokers that are gone: that nothing is confirmed does.
LONGEST_WAIT = 30.0

Confirmed = Callable[[Message, datetime], None]


class Outbox:
    """What is put here is on disk at once and in Kafka as soon as that takes it; a message leaves the disk only then.

    `confirmed` is told each message and when the brokers confirmed it, `refused` each that they never will; both
    are called in the outbox's own thread.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        run_id: str,
        confirmed: Confirmed = lambda message, at: None,
        refused: Callable[[Message, str], None] = lambda message, reason: None,
    ) -> None:
        self.spool = spool
        self._problem: str | None = None
        self._settings = settings
        self._run_id = run_id
        self._tell_confirmed = confirmed
        self._tell_refused = refused
        self._last = 0
        self._in_flight: dict[int, Message] = {}
        self._done: list[int] = []
        self._resend = False
        self._topics: dict[tuple[str, str], str] = {}
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def put(self, messages: Sequence[Message]) -> None:
        """Take messages over.

        Raises:
            crypto_platform.ingestion.spool.SpoolFullError: Kafka was away for so long that there is no room.
        """
        self.spool.put(messages)
        self._wake.set()

    @property
    def problem(self) -> str | None:
        """Why bars do not get into Kafka; None: they do."""
        if self._problem:
            return self._problem
        try:
            oldest = self.spool.oldest()
        except sqlite3.Error as error:
            return f"the spool cannot be read: {error}"
        waited = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
        if waited > LONGEST_WAIT:
            return f"{self._settings.kafka_servers} has not confirmed the oldest bar for {waited:.0f} s"
        return None

    def wait_until_empty(self, seconds: float) -> bool:
        """Whether everything is confirmed, waiting for it up to `seconds`."""
        until = time.monotonic() + seconds
        while self.spool.messages and time.monotonic() < until:
            time.sleep(0.02)
        return not self.spool.messages

    def close(self, seconds: float) -> bool:
        """Send what there is, for up to `seconds`; what is not confirmed then stays on disk. Whether all was."""
        empty = self.wait_until_empty(seconds)
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self.spool.close()
        return empty

    def _work(self) -> None:
        producer: Producer | None = None
        while not self._stopping.is_set():
            sent = 0
            try:
                # What is confirmed is not to be read from the spool again.
                self._settle()
                if producer is None:
                    producer = new_producer(self._settings, **_ENDLESS)
                sent = self._send(producer)
                # Reports of what is in flight come during the poll.
                producer.poll(0.02 if self._in_flight else 0)
            except Exception as error:
                # Whatever it was, a bar is on disk until it is confirmed: begin anew.
                self._say(f"{type(error).__name__}: {error}")
                self._resend = True
            if self._resend:
                self._give_up(producer)
                producer = None
            elif not self._in_flight and not self._done and not sent:
                self._say(None)
                self._wake.wait(0.5)
                self._wake.clear()
        self._give_up(producer)
        self._settle()

    def _send(self, producer: Producer) -> int:
        batch = self.spool.after(self._last, IN_FLIGHT - len(self._in_flight)) if self._has_room() else []
        for number, message in batch:
            topic = self._topic(message.feed, message.dataset)
            headers = message_headers(message.source, self._run_id, message.observed_at)
            key = message.symbol.encode()
            try:
                producer.produce(topic, message.value, key, headers=headers, on_delivery=partial(self._report, number))
            except BufferError:
                break
            except KafkaException as error:
                if error.args[0].code() not in _NEVER:
                    raise
                self._refuse(number, message, error.args[0])
            else:
                self._in_flight[number] = message
            self._last = number
        return len(batch)

    def _has_room(self) -> bool:
        return len(self._in_flight) < IN_FLIGHT // 2

    def _topic(self, feed: str, dataset: Dataset) -> str:
        place = feed, dataset.name
        if place not in self._topics:
            self._topics[place] = admin.ensure_topic(self._settings, feed, dataset)
        return self._topics[place]

    def _report(self, number: int, error: KafkaError | None, _message: KafkaMessage) -> None:
        message = self._in_flight.pop(number, None)
        if message is None:
            return
        if error is None:
            self._done.append(number)
            self._say(None)
            self._tell_confirmed(message, datetime.now(UTC))
        elif error.code() in _NEVER:
            self._refuse(number, message, error)
        elif error.code() in _GIVEN_UP:
            # By this program, which has said why.
            self._resend = True
        else:
            self._say(f"topic {message.dataset.topic(message.feed)}: {error.str()}")
            self._resend = True

    def _refuse(self, number: int, message: Message, error: KafkaError) -> None:
        reason = f"{error.name()}: {error.str()}"
        log.error(
            "Kafka refuses a bar of %s for good (%s); see `crypto-platform dead-letters list`", message.symbol, reason
        )
        self.spool.refuse(number, reason)
        self._tell_refused(message, reason)

    def _settle(self) -> None:
        if self._done:
            self.spool.remove(self._done)
            self._done.clear()

    def _give_up(self, producer: Producer | None) -> None:
        """Leave it to the next producer to send what is not confirmed once more, from the first one on.

        What was written without a confirmation is doubled on the topic; the load drops it.
        """
        if producer is not None:
            producer.purge()
            producer.flush(1)
        self._in_flight.clear()
        self._topics.clear()
        self._last, self._resend = 0, False
        self._stopping.wait(_RETRY_SECONDS)

    def _say(self, problem: str | None) -> None:
        if problem != self._problem:
            if problem:
                log.warning("Kafka: %s; bars are kept on disk", problem)
            else:
                log.info("Kafka takes bars again")
        self._problem = problem


# A message is given up by nobody: while the brokers are away, librdkafka keeps what it has in order and we the rest.
_ENDLESS: dict[str, object] = {
    "delivery.timeout.ms": 0,
    "queue.buffering.max.messages": 2 * IN_FLIGHT,
    "linger.ms": 10,
}
