"""Two versions of the platform side by side on one topic and one warehouse: nothing is lost, doubled or misread."""

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from crypto_platform.connectors.kafka.admin import client_config, topic_state
from crypto_platform.connectors.kafka.producer import Outgoing, message_headers, send
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.ledger_checks import Balance, balance
from crypto_platform.connectors.snowflake.schema import ensure_schema
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.ingestion import dead_letters, topic_load
from crypto_platform.market import bars, dataset
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox

NEXT = "2"
# The bars of a release whose messages have the next schema version; this one's are of the version before.
NEXT_BARS = replace(
    bars.BARS,
    rules=tuple(
        replace(rule, broken=f"schema_version NOT IN ('{dataset.SCHEMA_VERSION}', '{NEXT}')")
        if rule.reason == dataset.UNKNOWN_VERSION
        else rule
        for rule in bars.BARS.rules
    ),
)


@pytest.fixture
def settings(sandbox: Settings, tmp_path: Path) -> Settings:
    """A warehouse of its own: its tables have been migrated to the next release's, with columns that this one lacks."""
    own = {"crypto_platform_home": tmp_path, "snowflake_database": factories.feed_name().upper()}
    return sandbox.model_copy(update=own)


def migrate(settings: Settings, feed: str) -> None:
    with connect(settings) as connection:
        ensure_schema(connection, feed)
        cursor = connection.cursor()
        for (table,) in rows(cursor, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'RAW'"):
            cursor.execute(f"ALTER TABLE RAW.{table} ADD COLUMN of_the_next_release VARCHAR")


def outgoing(minute: int, version: str = dataset.SCHEMA_VERSION) -> Outgoing:
    headers = [
        (name, version.encode() if name == dataset.HEADER_SCHEMA_VERSION else value)
        for name, value in message_headers("rest", "run", factories.OBSERVED)
    ]
    return Outgoing(b"BTC/USD", factories.line("BTC/USD", factories.bar(minute)), headers)


@pytest.mark.slow
def test_what_this_release_does_not_know_waits_for_the_next(settings: Settings) -> None:
    feed = factories.feed_name()
    migrate(settings, feed)
    send(settings, feed, [outgoing(0), outgoing(1, NEXT), outgoing(2)])
    first = topic_load.load(settings, feed, "this release")
    assert (first.loaded, first.rejected) == (2, 1)
    (letter,) = dead_letters.find(settings, [feed])
    assert letter.reason == dataset.UNKNOWN_VERSION

    # This one replays it as what it is, and still does not know it.
    dead_letters.replay(settings, [letter])
    again = topic_load.load(settings, feed, "this release")
    assert (again.loaded, again.rejected) == (0, 1)
    # The next one loads it, and both go on side by side.
    (letter,) = dead_letters.find(settings, [feed])
    dead_letters.replay(settings, [letter])
    send(settings, feed, [outgoing(3, NEXT)])
    upgraded = topic_load.load(settings, feed, "next release", dataset=NEXT_BARS)
    assert (upgraded.loaded, upgraded.rejected) == (2, 0)
    send(settings, feed, [outgoing(4)])
    assert topic_load.load(settings, feed, "this release").loaded == 1
    assert dead_letters.find(settings, [feed]) == []
    with connect(settings) as connection:
        assert balance(connection, feed) == Balance(held=5, loaded=5)
    assert len(factories.ledger(settings, feed)) == 5


def test_a_message_of_another_version_is_not_passed_for_one_of_this(settings: Settings) -> None:
    """The topic alone has its headers: without them a replay would make it a message of the version of whoever asks."""
    feed = factories.feed_name()
    send(settings, feed, [outgoing(0, NEXT)])
    topic_load.load(settings, feed, "this release")
    letters = dead_letters.find(settings, [feed])
    topic, before = bars.BARS.topic(feed), topic_state(settings, feed).topic_id
    admin = AdminClient(client_config(settings))
    admin.delete_topics([topic])[topic].result()
    factories.await_another_topic(settings, feed, before)
    with pytest.raises(dead_letters.VersionNotKnownError, match=f"republish --feed {feed}"):
        dead_letters.replay(settings, letters)
    assert sum(topic_state(settings, feed).end.values()) == 0
    assert dead_letters.find(settings, [feed]) == letters
