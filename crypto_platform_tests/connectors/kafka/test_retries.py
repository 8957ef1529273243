"""A topic whose leader is on the move, at the edge of the client's own requests."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.kafka.admin import RETRIABLE, ask
from crypto_platform.settings import Settings

PATIENT = Settings(kafka_request_timeout_seconds=30)
HASTY = Settings(kafka_request_timeout_seconds=1)


class Broker:
    """Fails `times`, then answers."""

    def __init__(self, code: int, times: float) -> None:
        self.code, self.times, self.asked = code, times, 0

    def __call__(self, timeout: float) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise KafkaException(KafkaError(self.code))
        return "answer"


@pytest.mark.parametrize("code", sorted(RETRIABLE))
def test_what_passes_is_asked_again(code: int) -> None:
    broker = Broker(code, times=2)
    assert ask(PATIENT, broker) == "answer"
    assert broker.asked == 3


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_what_stays_is_raised_at_once(code: int) -> None:
    broker = Broker(code, times=1)
    with pytest.raises(KafkaException):
        ask(PATIENT, broker)
    assert broker.asked == 1


def test_it_is_asked_for_no_longer_than_a_request_may_take() -> None:
    broker = Broker(KafkaError.NOT_LEADER_FOR_PARTITION, times=float("inf"))
    with pytest.raises(KafkaException, match="NOT_LEADER_FOR_PARTITION"):
        ask(HASTY, broker)
    assert 2 <= broker.asked < 30


# Brokers that elect a leader answer with an offset of -1 and no error; a topic that ended there would be cut short.
@pytest.mark.parametrize("elected", [-1, KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))])
def test_offsets_of_a_leader_that_is_no_more_are_asked_for_by_another_client(
    elected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Client:
        def __init__(self, settings: Settings) -> None:
            self.topic = SimpleNamespace(topic_id="id", partitions=[SimpleNamespace(id=0)])
            self.offset = 7 if made else elected
            self.is_closed = False
            made.append(self)

        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *_: object) -> None:
            self.is_closed = True

        def describe_topics(self, wanted: TopicCollection, request_timeout: float) -> dict[str, Future[Any]]:
            return {"market.crypto.bars": done(self.topic)}

        def list_offsets(self, asked: dict[TopicPartition, Any], request_timeout: float) -> dict[Any, Future[Any]]:
            return {partition: done(self.offset) for partition in asked}

    def done(value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(SimpleNamespace(offset=value) if isinstance(value, int) else value)
        return future

    monkeypatch.setattr(admin, "Admin", Client)
    state = admin.topic_state(PATIENT, "crypto")
    assert (state.earliest, state.end) == ({0: 7}, {0: 7})
    assert all(client.is_closed for client in made)
