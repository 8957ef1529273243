"""A topic whose leader is on the move, at the edge of the client's own requests."""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.kafka.admin import RETRIABLE, ask
from crypto_platform.sandbox.ports import free_ports
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


def test_a_controller_that_takes_no_connections_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka would try to connect without a pause, and leave no core to the brokers that elect another."""
    looks: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as elected:
        dead, living = (SimpleNamespace(host="127.0.0.1", port=p) for p in (free_ports(1)[0], elected.getsockname()[1]))

        def list_topics(client: admin.Admin, topic: str, timeout: float) -> SimpleNamespace:
            looks.append(topic)
            # The brokers tell of the dead one for a while, then of none, then of another.
            return SimpleNamespace(brokers={1: dead, 2: living}, controller_id={1: 1, 2: -1}.get(len(looks), 2))

        monkeypatch.setattr(admin.Admin, "list_topics", list_topics)
        with admin.Admin(PATIENT) as client:
            assert client.ask("market.crypto.bars", lambda timeout: len(looks)) == 3
        with admin.Admin(HASTY) as client, pytest.raises(KafkaException, match="takes no connections"):
            stays = SimpleNamespace(brokers={1: dead}, controller_id=1)
            monkeypatch.setattr(admin.Admin, "list_topics", lambda *_, **__: stays)
            client.ask("market.crypto.bars", lambda timeout: pytest.fail("it was asked"))
    assert looks == ["market.crypto.bars"] * 3


# Brokers that elect a leader answer with an offset of -1 and no error; a topic that ended there would be cut short.
@pytest.mark.parametrize(
    "elected", [(-1, -1), (0, -1), None, KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))]
)
def test_offsets_of_a_leader_that_is_no_more_are_asked_for_by_another_client(
    elected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Admin:
        def __init__(self, settings: Settings) -> None:
            self.topic = SimpleNamespace(topic_id="id", partitions=[SimpleNamespace(id=0)])

        def __enter__(self) -> "Admin":
            return self

        def __exit__(self, *_: object) -> None:
            """Was never open."""

        def ask(self, topic: str, request: Callable[[float], Any]) -> Any:
            return request(1.0)

        def describe_topics(self, wanted: TopicCollection, request_timeout: float) -> dict[str, Future[Any]]:
            answer: Future[Any] = Future()
            answer.set_result(self.topic)
            return {"market.crypto.bars": answer}

    class Consumer:
        def __init__(self, settings: Settings) -> None:
            self.offsets = (3, 7) if made else elected
            self.is_closed = False
            made.append(self)

        def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> Any:
            if isinstance(self.offsets, Exception):
                raise self.offsets
            return self.offsets

        def close(self) -> None:
            self.is_closed = True

    monkeypatch.setattr(admin, "Admin", Admin)
    monkeypatch.setattr(admin, "_consumer", Consumer)
    state = admin.topic_state(PATIENT, "crypto")
    assert (state.earliest, state.end) == ({0: 3}, {0: 7})
    assert [consumer.is_closed for consumer in made] == [True, True]
