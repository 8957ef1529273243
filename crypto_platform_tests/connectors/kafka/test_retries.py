"""A topic whose leader is on the move, at the edge of the client's own requests."""

import pytest
from confluent_kafka import KafkaError, KafkaException

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
