"""What was refused is found again, by its reason, and once more published through the front door."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from crypto_platform.connectors.kafka.admin import client_config, topic_state
from crypto_platform.connectors.kafka.producer import Outgoing, message_headers, send
from crypto_platform.connectors.kafka.reader import messages_at
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.ledger_checks import Balance, balance
from crypto_platform.ingestion import dead_letters, topic_load
from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.market import bars, dataset
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox

SEEN = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


@pytest.fixture
def settings(sandbox: Settings, tmp_path: Path) -> Settings:
    return sandbox.model_copy(update={"crypto_platform_home": tmp_path})


def outgoing(value: bytes, source: str = "stream") -> Outgoing:
    return Outgoing(b"BTC/USD", value, message_headers(source, "run-1", SEEN))


def test_a_replay_goes_through_the_front_door_and_is_recorded(settings: Settings) -> None:
    feed = factories.feed_name()
    inverted = factories.line("BTC/USD", factories.bar(1, h=1, l=2))
    sent = [outgoing(factories.line("BTC/USD", factories.bar(0))), outgoing(inverted), outgoing(b"poison\xff")]
    assert send(settings, feed, sent) == 3
    report = topic_load.load(settings, feed, "run")
    assert (report.loaded, report.rejected) == (1, 2)
    found = dead_letters.find(settings, [feed])
    assert [(letter.reason, letter.value, letter.origin) for letter in found] == [
        ("high is below low", inverted, "load"),
        ("unreadable", b"poison\xff", "load"),
    ]
    kinds = dead_letters.count(settings, [feed])
    assert [(kind.origin, kind.reason, kind.letters) for kind in kinds] == [
        ("load", "high is below low", 1),
        ("load", "unreadable", 1),
    ]
    assert kinds[0].first_at == kinds[0].last_at == found[0].refused_at
    assert dead_letters.find(settings, [feed], limit=1) == found[:1]
    (chosen,) = dead_letters.find(settings, [feed], reason="Below Low")
    run_id = dead_letters.replay(settings, [chosen])
    assert sum(topic_state(settings, feed).end.values()) == 4
    # It is recorded, is listed only on request, and is judged anew: still broken.
    assert [letter.reason for letter in dead_letters.find(settings, [feed])] == ["unreadable"]
    replayed = [letter for letter in dead_letters.find(settings, [feed], replayed=True) if letter.replayed_at]
    assert [letter.offset for letter in replayed] == [chosen.offset]
    again = topic_load.load(settings, feed, "run")
    assert (again.messages, again.rejected) == (1, 1)
    assert run_id.startswith("replay-")


def test_a_replayed_message_keeps_its_source_and_its_time(settings: Settings) -> None:
    """A message that was too early for the broker's clock is none any more when it is replayed."""
    feed = factories.feed_name()
    tomorrow = factories.bar(0, t=f"{datetime.now(UTC).year + 1}-01-01T00:00:00Z")
    send(settings, feed, [outgoing(factories.line("BTC/USD", tomorrow), "stream_update")])
    topic_load.load(settings, feed, "run")
    (letter,) = dead_letters.find(settings, [feed], reason="in the future")
    dead_letters.replay(settings, [letter])
    assert letter.partition is not None
    originals: Any = messages_at(settings, bars.BARS.topic(feed), {letter.partition: [0, 1]})
    first, second = (dict(originals[letter.partition, offset].headers) for offset in (0, 1))
    assert second.pop(dataset.HEADER_RUN_ID) != first.pop(dataset.HEADER_RUN_ID)
    assert first == second
    assert first[dataset.HEADER_SOURCE] == b"stream_update"


def test_what_kafka_refused_lies_in_the_spool_until_it_is_replayed(settings: Settings) -> None:
    feed = factories.feed_name()
    value = factories.line("BTC/USD", factories.bar(0))
    spool = Spool.open(settings)
    spool.put([Message(feed, "BTC/USD", value, "stream", SEEN)])
    spool.refuse(spool.after(0, 1)[0][0], "MSG_SIZE_TOO_LARGE")
    spool.close()
    (letter,) = dead_letters.find(settings, [feed])
    assert (letter.origin, letter.reason, letter.value) == ("kafka", "MSG_SIZE_TOO_LARGE", value)
    dead_letters.replay(settings, [letter])
    assert dead_letters.find(settings, [feed]) == []
    assert topic_load.load(settings, feed, "run").loaded == 1
    with connect(settings) as connection:
        assert balance(connection, feed) == Balance(held=1, loaded=1)
    (row,) = factories.ledger(settings, feed)
    assert row[-2:] == ("stream", SEEN.replace(tzinfo=None))


def test_a_topic_that_was_created_anew_has_other_messages_at_the_same_places(settings: Settings) -> None:
    feed = factories.feed_name()
    send(settings, feed, [outgoing(b"first")])
    topic_load.load(settings, feed, "run")
    dead_letters.replay(settings, dead_letters.find(settings, [feed]))
    topic = bars.BARS.topic(feed)
    before = topic_state(settings, feed).topic_id
    admin = AdminClient(client_config(settings))
    admin.delete_topics([topic])[topic].result()
    factories.await_another_topic(settings, feed, before)
    send(settings, feed, [outgoing(b"second")])
    topic_load.accept_loss(settings, feed, "republish")
    assert topic_load.load(settings, feed, "run").rejected == 1
    # The replay was of the first, and the first's headers are not there any more.
    (second,) = dead_letters.find(settings, [feed])
    first, _ = dead_letters.find(settings, [feed], replayed=True)
    assert (first.partition, first.offset) == (second.partition, second.offset)
    assert (first.value, second.value) == (b"first", b"second")
    dead_letters.replay(settings, [first])
    assert second.partition is not None
    places = {second.partition: [0, 1]}
    sources = [dict(m.headers)[dataset.HEADER_SOURCE] for m in messages_at(settings, topic, places).values()]
    assert sources == [b"stream", b"rest"]
