"""Topics that are there, and their end."""

import pytest

from crypto_platform.connectors.kafka.admin import TopicError, delete, ensure_topic, present
from crypto_platform.settings import Settings
from crypto_platform_tests import factories


def test_a_topic_is_there_until_it_is_deleted(sandbox: Settings) -> None:
    one, other = (ensure_topic(sandbox, factories.feed_name()) for _ in range(2))
    asked = [one, other, "market.nowhere.bars"]
    # A broker hears of them a moment later.
    while (found := present(sandbox, asked)) != {one, other}:
        assert found < {one, other}
    delete(sandbox, [one, "market.nowhere.bars"])
    while (found := present(sandbox, asked)) != {other}:
        assert found == {one, other}
    delete(sandbox, [one, other])


def test_brokers_that_do_not_answer_are_said_so(sandbox_settings: Settings) -> None:
    nowhere = {"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_request_timeout_seconds": 0.5}
    with pytest.raises(TopicError, match="could not be listed on 127"):
        present(sandbox_settings.model_copy(update=nowhere), ["market.crypto.bars"])
