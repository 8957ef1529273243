"""Single messages of a topic, by their place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from crypto_platform.connectors.kafka.admin import TopicError, client_config
from crypto_platform.connectors.kafka.producer import Headers
from crypto_platform.settings import Settings


@dataclass(frozen=True)
class Placed:
    """A message as it lies on its topic."""

    key: bytes
    value: bytes
    headers: Headers


def messages_at(settings: Settings, topic: str, places: Mapping[int, Sequence[int]]) -> dict[tuple[int, int], Placed]:
    """The messages at these offsets, per partition; one that is gone is left out.

    Raises:
        TopicError: Kafka does not answer.
    """
    if not any(places.values()):
        return {}
    found: dict[tuple[int, int], Placed] = {}
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "dead-letters", "enable.auto.commit": False, "auto.offset.reset": "error", "log_level": 0}
    )
    try:
        for partition, offsets in places.items():
            for offset in offsets:
                consumer.assign([TopicPartition(topic, partition, offset)])
                messages = consumer.consume(1, timeout=settings.kafka_request_timeout_seconds)
                if not messages:
                    raise TopicError(f"topic {topic}, partition {partition}, offset {offset}: no answer")
                (message,) = messages
                if message.error() is None and message.offset() == offset:
                    headers: Any = message.headers() or []
                    found[partition, offset] = Placed(message.key() or b"", message.value() or b"", headers)
    finally:
        consumer.close()
    return found
