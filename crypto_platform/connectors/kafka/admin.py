"""Topics: created as the platform needs them, and what is in them now."""

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from tenacity import Retrying, retry_if_exception, stop_after_delay

from crypto_platform.connectors.backoff import backoff
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.settings import Settings

# Kafka's retriable errors, https://kafka.apache.org/protocol#protocol_error_codes: a new try may succeed. The admin
# client does not mark them. UNKNOWN_TOPIC_OR_PART, one of them, is left out: here it says that nobody made the topic.
RETRIABLE = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.NOT_CONTROLLER,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}
# How long a client may look for a partition's leader, before another one looks that has never known the last.
_LEADER_SECONDS = 10.0


# What a client hears from the brokers while a request of its only times out, and the settings it is about.
REFUSALS = {
    KafkaError._AUTHENTICATION: "the login is refused: see KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and "
    "KAFKA_SASL_MECHANISM",
    KafkaError._SSL: "TLS fails: see KAFKA_SSL_CA_LOCATION, the authority of the brokers' certificates, and "
    "KAFKA_SECURITY_PROTOCOL",
}
# Answers of brokers whose ACLs do not allow the request.
FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}

Answer = TypeVar("Answer")


class TopicError(RuntimeError):
    """A topic is missing, is not set up as the platform needs it, or Kafka does not answer."""


class TopicMissingError(TopicError):
    """Nobody has made the topic yet."""


@dataclass(frozen=True)
class TopicState:
    """One moment of a topic: its id, and per partition the first offset kept and the next one to be written."""

    topic: str
    topic_id: str
    earliest: dict[int, int]
    end: dict[int, int]


class Admin(AdminClient):
    """librdkafka's client, which keeps what the brokers refused: its requests say that they timed out, no more.

    To be used in a `with` block: until it is closed its threads look for brokers, also where nothing refers to it any
    more, as it is referred to by its own callback.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refused: int | None = None
        # librdkafka would write its connection troubles to stderr; the callers raise them instead.
        super().__init__(client_config(settings) | {"log_level": 0, "error_cb": self._hear})

    def ask(self, topic: str, request: Callable[[float], Answer]) -> Answer:
        """`ask` for what only the controller answers; `topic` is what it is about.

        While the broker that was the controller takes no connections, librdkafka tries to connect without a pause, by
        two threads that leave no core to the others, until the request times out. So that is looked at before.

        Raises:
            KafkaException: as `ask`.
        """

        def once(timeout: float) -> Answer:
            self._find_controller(topic, timeout)
            return request(timeout)

        return ask(self._settings, once)

    def reason(self, error: KafkaException) -> str:
        """Why a request failed, with the settings to look at; no secret is in it."""
        self.poll(0)
        if self._refused is not None:
            return REFUSALS[self._refused]
        answered = error.args[0]
        if answered.code() in FORBIDDEN:
            user = self._settings.kafka_sasl_username or "ANONYMOUS"
            return (
                f"{answered.str()}: the brokers' ACLs do not allow it to {user} (KAFKA_SASL_USERNAME); those it "
                "needs are in docs/reference/production.md"
            )
        return str(answered.str())

    def _find_controller(self, topic: str, timeout: float) -> None:
        # Also has librdkafka know the controller of this moment.
        cluster = self.list_topics(topic, timeout=timeout)
        controller = cluster.brokers.get(cluster.controller_id)
        if controller is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "the cluster has no controller yet"))
        try:
            socket.create_connection((controller.host, controller.port), timeout).close()
        except OSError as error:
            where = f"{controller.host}:{controller.port}"
            raise KafkaException(
                KafkaError(KafkaError._TRANSPORT, f"the controller, {where}, takes no connections: {error}")
            ) from error

    def _hear(self, error: KafkaError) -> None:
        if error.code() in REFUSALS:
            self._refused = error.code()


def client_config(settings: Settings) -> dict[str, Any]:
    """What every librdkafka client needs to reach the cluster; holds the password, never log it.

    Raises:
        TopicError: the file of KAFKA_SSL_CA_LOCATION is not there.
    """
    authority = settings.kafka_ssl_ca_location
    if authority is not None and not Path(authority).is_file():
        raise TopicError(f"KAFKA_SSL_CA_LOCATION is {authority}, where there is no file")
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_servers,
        "security.protocol": settings.kafka_security_protocol,
    }
    optional = {
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password and settings.kafka_sasl_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_ca_location,
    }
    return config | {name: value for name, value in optional.items() if value is not None}


def ensure_topic(settings: Settings, feed: str, dataset: Dataset = BARS) -> str:
    """Create the feed's topic if it is not there, and return its name.

    Raises:
        TopicError: an existing topic keeps the producer's time as record time (Kafka's retention would delete
            a backfill within minutes), or Kafka does not answer.
    """
    topic = dataset.topic(feed)
    wanted = NewTopic(
        topic,
        num_partitions=settings.kafka_topic_partitions,
        replication_factor=settings.kafka_replication_factor,
        config={
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(settings.kafka_retention_hours * 3_600_000),
            "cleanup.policy": "delete",
        },
    )
    with Admin(settings) as admin:
        try:
            admin.ask(topic, lambda timeout: admin.create_topics([wanted], request_timeout=timeout)[topic].result())
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _unreachable(settings, admin, f"topic {topic} could not be created", error) from error
            _check_config(settings, admin, topic)
    return topic


def present(settings: Settings, topics: Iterable[str]) -> set[str]:
    """Those of `topics` that are there; a broker hears a moment later of one that was just made or deleted.

    Raises:
        TopicError: Kafka does not answer.
    """
    with Admin(settings) as admin:
        try:
            found = ask(settings, lambda timeout: admin.list_topics(timeout=timeout)).topics
        except KafkaException as error:
            raise _unreachable(settings, admin, "the topics could not be listed", error) from error
    return {topic for topic in topics if topic in found}


def delete(settings: Settings, topics: Iterable[str]) -> None:
    """Delete those of `topics` that are there, with all that is in them.

    Raises:
        TopicError: one was not deleted.
    """
    with Admin(settings) as admin:
        for topic in topics:
            try:
                admin.ask(
                    topic,
                    lambda timeout, one=topic: admin.delete_topics([one], request_timeout=timeout)[one].result(),  # type: ignore[misc]
                )
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise _unreachable(settings, admin, f"topic {topic} could not be deleted", error) from error


def topic_state(settings: Settings, feed: str, dataset: Dataset = BARS) -> TopicState:
    """The feed's topic as it is now.

    Raises:
        TopicMissingError: the topic does not exist.
        TopicError: Kafka does not answer.
    """
    topic = dataset.topic(feed)
    wanted = TopicCollection([topic])
    with Admin(settings) as admin:
        try:
            described = admin.ask(
                topic, lambda timeout: admin.describe_topics(wanted, request_timeout=timeout)[topic].result()
            )
            partitions = [TopicPartition(topic, p.id) for p in described.partitions]
            found = ask(settings, lambda timeout: _ask_once(settings, partitions, timeout))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissingError(
                    f"topic {topic} does not exist on {settings.kafka_servers}: materialize "
                    f"kafka/{feed}_{dataset.name}_topic first"
                ) from error
            raise _unreachable(settings, admin, f"topic {topic} could not be read", error) from error
    earliest, end = ({p: offsets[place] for p, offsets in found.items()} for place in (0, 1))
    return TopicState(topic, str(described.topic_id), earliest, end)


class EndOffsets:
    """Where topics end, for who asks often: one connection, kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = _consumer(settings)
        self._partitions: dict[str, list[TopicPartition]] = {}

    def of(self, feed: str, dataset: Dataset = BARS) -> dict[int, int]:
        """The next offset to be written, per partition of the feed's topic.

        Raises:
            TopicMissingError: the topic does not exist.
            TopicError: Kafka does not answer.
        """
        topic = dataset.topic(feed)
        if topic not in self._partitions:
            self._partitions[topic] = [TopicPartition(topic, p) for p in topic_state(self._settings, feed, dataset).end]
        try:
            timeout = self._settings.kafka_request_timeout_seconds
            found = _watermarks(self._consumer, self._partitions[topic], timeout)
        except KafkaException as error:
            # Not asked again here: the next one to ask does by a client that has never known the last leader.
            self._consumer.close()
            self._consumer = _consumer(self._settings)
            self._partitions.pop(topic)
            raise TopicError(
                f"topic {topic} could not be read on {self._settings.kafka_servers}: {error.args[0].str()}"
            ) from error
        return {partition: end for partition, (_, end) in found.items()}


def ask(settings: Settings, request: Callable[[float], Answer]) -> Answer:
    """What the request, which is told its longest time in seconds, is answered.

    Asked again while the error is a retriable one, as when a leader moves or a topic was just made, for as long as one
    request may take.

    Raises:
        KafkaException: the error is another one, or it stayed.
    """
    timeout = settings.kafka_request_timeout_seconds
    retrying = Retrying(
        retry=retry_if_exception(_is_retriable), wait=backoff(0.05, 1.0), stop=stop_after_delay(timeout), reraise=True
    )
    return retrying(request, timeout)


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in RETRIABLE


def _consumer(settings: Settings) -> Consumer:
    """What is asked for offsets. The admin client's request for them keeps a core busy while a leader is away."""
    return Consumer(client_config(settings) | {"group.id": "offsets", "log_level": 0})


def _ask_once(settings: Settings, partitions: list[TopicPartition], timeout: float) -> dict[int, tuple[int, int]]:
    with closing(_consumer(settings)) as consumer:
        return _watermarks(consumer, partitions, timeout)


def _watermarks(consumer: Consumer, partitions: list[TopicPartition], timeout: float) -> dict[int, tuple[int, int]]:
    """The first offset kept and the next to be written, per partition, within `timeout` and _LEADER_SECONDS for all.

    Raises:
        KafkaException: a leader does not answer.
    """
    deadline = time.monotonic() + min(timeout, _LEADER_SECONDS)
    found: dict[int, tuple[int, int]] = {}
    for partition in partitions:
        offsets = consumer.get_watermark_offsets(partition, timeout=max(0.1, deadline - time.monotonic()))
        # While a partition gets a new leader some answers hold no offset and no error either.
        if offsets is None or min(offsets) < 0:
            raise KafkaException(
                KafkaError(KafkaError.OFFSET_NOT_AVAILABLE, f"the offsets of {partition.partition} are not known yet")
            )
        found[partition.partition] = offsets
    return found


def _check_config(settings: Settings, admin: Admin, topic: str) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        config = admin.ask(
            topic, lambda timeout: admin.describe_configs([resource], request_timeout=timeout)[resource].result()
        )
    except KafkaException as error:
        raise _unreachable(settings, admin, f"topic {topic} could not be looked at", error) from error
    wrong = [
        f"{name}={config[name].value}, needed {needed}"
        for name, needed in (("message.timestamp.type", "LogAppendTime"), ("cleanup.policy", "delete"))
        if config[name].value != needed
    ]
    if wrong:
        raise TopicError(
            f"topic {topic} exists with {'; '.join(wrong)}. Mend it with: kafka-configs.sh --bootstrap-server "
            f"{settings.kafka_servers} --alter --topic {topic} "
            "--add-config message.timestamp.type=LogAppendTime,cleanup.policy=delete"
        )


def _unreachable(settings: Settings, admin: Admin, what: str, error: KafkaException) -> TopicError:
    return TopicError(f"{what} on {settings.kafka_servers}: {admin.reason(error)}")
