"""Topics: created as the platform needs them, and what is in them now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType
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


def client_config(settings: Settings) -> dict[str, Any]:
    """What every librdkafka client needs to reach the cluster; holds the password, never log it."""
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
    admin = _admin(settings)
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
    try:
        ask(settings, lambda timeout: admin.create_topics([wanted], request_timeout=timeout)[topic].result())
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise _unreachable(settings, f"topic {topic} could not be created", error) from error
        _check_config(settings, admin, topic)
    return topic


def topic_state(settings: Settings, feed: str, dataset: Dataset = BARS) -> TopicState:
    """The feed's topic as it is now.

    Raises:
        TopicMissingError: the topic does not exist.
        TopicError: Kafka does not answer.
    """
    topic = dataset.topic(feed)
    admin = _admin(settings)
    try:
        wanted = TopicCollection([topic])
        described = ask(
            settings, lambda timeout: admin.describe_topics(wanted, request_timeout=timeout)[topic].result()
        )
        partitions = [TopicPartition(topic, p.id) for p in described.partitions]
        earliest = ask(settings, lambda timeout: _offsets(admin, partitions, OffsetSpec.earliest(), timeout))
        end = ask(settings, lambda timeout: _offsets(admin, partitions, OffsetSpec.latest(), timeout))
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissingError(
                f"topic {topic} does not exist on {settings.kafka_servers}: materialize "
                f"kafka/{feed}_{dataset.name}_topic first"
            ) from error
        raise _unreachable(settings, f"topic {topic} could not be read", error) from error
    return TopicState(topic, str(described.topic_id), earliest, end)


class EndOffsets:
    """Where topics end, for who asks often: one connection, kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = _admin(settings)
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
            return _offsets(self._admin, self._partitions[topic], OffsetSpec.latest(), timeout)
        except KafkaException as error:
            # Not asked again here: a client that has outlived its broker may ask by a leader that is no more, for ever.
            self._admin = _admin(self._settings)
            self._partitions.pop(topic)
            raise _unreachable(self._settings, f"topic {topic} could not be read", error) from error


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


def _admin(settings: Settings) -> AdminClient:
    # librdkafka would write its connection troubles to stderr; the callers raise them instead.
    return AdminClient(client_config(settings) | {"log_level": 0})


def _offsets(admin: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec, timeout: float) -> dict[int, int]:
    futures = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=timeout)
    return {partition.partition: future.result().offset for partition, future in futures.items()}


def _check_config(settings: Settings, admin: AdminClient, topic: str) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        config = ask(
            settings, lambda timeout: admin.describe_configs([resource], request_timeout=timeout)[resource].result()
        )
    except KafkaException as error:
        raise _unreachable(settings, f"topic {topic} could not be looked at", error) from error
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


def _unreachable(settings: Settings, what: str, error: KafkaException) -> TopicError:
    return TopicError(f"{what} on {settings.kafka_servers}: {error.args[0].str()}")
