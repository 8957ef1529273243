"""The kept connection that tells where topics end."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.kafka.admin import EndOffsets, TopicError, TopicState
from crypto_platform.settings import Settings


def test_a_client_that_has_outlived_its_broker_is_replaced(
    fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale, new = (SimpleNamespace(reason=str) for _ in range(2))
    clients = iter([stale, new])

    def offsets(client: Any, *_: Any) -> dict[int, int]:
        if client is stale:
            raise KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))
        return {0: 7}

    monkeypatch.setattr(admin, "Admin", lambda _settings: next(clients))
    monkeypatch.setattr(admin, "topic_state", lambda _settings, feed, _dataset: TopicState(feed, "id", {0: 0}, {0: 5}))
    monkeypatch.setattr(admin, "_offsets", offsets)
    ends = EndOffsets(fresh_settings)
    with pytest.raises(TopicError, match="could not be read"):
        ends.of("crypto")
    assert ends.of("crypto") == {0: 7}
