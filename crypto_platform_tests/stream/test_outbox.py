"""From the spool to a real broker: late, but in order and once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_platform.settings import Settings
from crypto_platform.stream.outbox import Outbox
from crypto_platform.stream.spool import Message, Spool
from crypto_platform_tests import made
from crypto_platform_tests.stream.conftest import published, wait_for

pytestmark = pytest.mark.sandbox

LIMIT = 10**8


def messages(feed: str, count: int, **fields: object) -> list[Message]:
    return [
        Message(feed, "BTC/USD", made.line("BTC/USD", made.bar(n, **fields)), "stream", datetime.now(UTC))
        for n in range(count)
    ]


def test_bars_wait_on_disk_for_a_kafka_that_is_away(sandbox: Settings, tmp_path: Path) -> None:
    feed = made.feed_name()
    path = tmp_path / "spool.sqlite"
    nowhere = sandbox.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_request_timeout_seconds": 0.5}
    )
    outbox = Outbox(nowhere, Spool(path, LIMIT), "run-1")
    put = messages(feed, 30)
    outbox.put(put[:10])
    wait_for(lambda: outbox.problem)
    outbox.put(put[10:])
    assert "127.0.0.1:1" in (outbox.problem or "")
    assert not outbox.close(0.1)
    confirmed: list[Message] = []
    outbox = Outbox(sandbox, Spool(path, LIMIT), "run-2", lambda message, at: confirmed.append(message))
    assert outbox.wait_until_empty(30)
    assert outbox.close(1)
    assert confirmed == put
    assert [m.bar["t"] for m in published(sandbox, feed)] == [made.bar(n)["t"] for n in range(30)]


def test_a_message_that_kafka_never_takes_is_put_aside_and_holds_nothing_up(sandbox: Settings, tmp_path: Path) -> None:
    feed = made.feed_name()
    refused: list[str] = []
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)
    outbox = Outbox(sandbox, spool, "run", refused=lambda message, reason: refused.append(reason))
    (huge,) = messages(feed, 1, x="x" * 2_000_000)
    good = messages(feed, 5)
    outbox.put([*good[:2], huge, *good[2:]])
    assert outbox.wait_until_empty(30)
    (aside,) = spool.refused()
    assert outbox.close(1)
    assert aside.message == huge
    assert [aside.reason] == refused
    assert "MSG_SIZE_TOO_LARGE" in aside.reason
    assert [m.bar["t"] for m in published(sandbox, feed)] == [made.bar(n)["t"] for n in range(5)]
