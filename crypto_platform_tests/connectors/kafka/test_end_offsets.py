"""The kept connection that tells where topics end."""

import gc
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.kafka.admin import EndOffsets, TopicError, TopicState, present, topic_state
from crypto_platform.settings import Settings


class Client:
    """In place of a consumer."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_a_client_that_has_outlived_its_broker_is_replaced(
    fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale, new = Client(), Client()
    clients = iter([stale, new])

    def watermarks(client: Any, *_: Any) -> dict[int, tuple[int, int]]:
        if client is stale:
            raise KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))
        return {0: (0, 7)}

    monkeypatch.setattr(admin, "_consumer", lambda _settings: next(clients))
    monkeypatch.setattr(admin, "topic_state", lambda _settings, feed, _dataset: TopicState(feed, "id", {0: 0}, {0: 5}))
    monkeypatch.setattr(admin, "_watermarks", watermarks)
    ends = EndOffsets(fresh_settings)
    with pytest.raises(TopicError, match="could not be read"):
        ends.of("crypto")
    assert ends.of("crypto") == {0: 7}
    assert (stale.is_closed, new.is_closed) == (True, False)


def test_requests_that_nobody_answers_leave_no_clients_behind(fresh_settings: Settings) -> None:
    """A client is five threads and more, which go on looking for brokers: an outage of a minute would make hundreds."""
    away = fresh_settings.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_request_timeout_seconds": 0.2}
    )
    process, ends = psutil.Process(), EndOffsets(away)
    ends._partitions["market.crypto.bars"] = [TopicPartition("market.crypto.bars", 0)]
    before = process.num_threads()
    requests = (partial(topic_state, away, "crypto"), partial(present, away, ["any"]), partial(ends.of, "crypto"))
    gc.disable()
    try:
        for request in requests * 3:
            with suppress(TopicError):
                request()
        assert process.num_threads() <= before
    finally:
        gc.enable()
