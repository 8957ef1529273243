"""A store that 0.1.0 wrote opens with its alerts."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from crypto_platform.alerting import store
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, Clock, Memory

OLD = {
    "fingerprint": "run:crypto:2026-03-01:",
    "kind": "run failure",
    "what": "the run of crypto failed",
    "since": "2026-03-02T00:00:00Z",
    "severity": 2,
    "feed": "crypto",
    "partitions": "2026-03-01",
    "effect": "not made: marts",
    "cause": "",
    "link": "",
    "command": "crypto-platform materialize --feed crypto",
    "data": "recorded",
    "reference": "",
}

# As 0.1.0 made them.
TABLES = """
CREATE TABLE alert_cursors (source VARCHAR(200) NOT NULL, cursor TEXT NOT NULL, PRIMARY KEY (source));
CREATE TABLE alert_episodes (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    source VARCHAR(200) NOT NULL,
    fingerprint VARCHAR(500) NOT NULL,
    severity INTEGER NOT NULL,
    opened_at DOUBLE NOT NULL,
    recovered_at DOUBLE,
    alert TEXT NOT NULL
);
CREATE UNIQUE INDEX alert_one_open_episode ON alert_episodes (fingerprint) WHERE recovered_at IS NULL;
CREATE TABLE alert_channels (
    name VARCHAR(50) NOT NULL,
    seen_at DOUBLE NOT NULL,
    lease_until DOUBLE NOT NULL,
    failures INTEGER NOT NULL,
    retry_at DOUBLE NOT NULL,
    digest_at DOUBLE NOT NULL,
    error TEXT,
    PRIMARY KEY (name)
);
CREATE TABLE alert_messages (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    channel VARCHAR(50) NOT NULL,
    episode INTEGER NOT NULL,
    event VARCHAR(20) NOT NULL,
    due_at DOUBLE NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT,
    sent_at DOUBLE,
    post VARCHAR(32),
    FOREIGN KEY(episode) REFERENCES alert_episodes (id)
);
CREATE INDEX alert_messages_by_episode ON alert_messages (episode, channel);
CREATE INDEX alert_messages_by_channel ON alert_messages (channel, sent_at);
"""


@pytest.fixture
def old_store(tmp_path: Path) -> Settings:
    """The settings of a home whose alerts 0.1.0 kept: one that is open, with each event sent once."""
    with closing(sqlite3.connect(tmp_path / "alerts.db")) as connection:
        connection.executescript(TABLES)
        row = (OLD["fingerprint"], json.dumps(OLD))
        connection.execute("INSERT INTO alert_episodes VALUES (1, 'runs', ?, 2, 0, NULL, ?)", row)
        events = [(event,) for event in ("alert", "still open", "worse", "recovery")]
        insert = "INSERT INTO alert_messages (channel, episode, event, due_at, attempts, sent_at)"
        connection.executemany(f"{insert} VALUES ('log', 1, ?, 0, 0, 1)", events)
        connection.commit()
    return Settings(crypto_platform_home=tmp_path)


def test_alerts_of_the_release_before_keep_what_they_say(old_store: Settings) -> None:
    manager = AlertManager(old_store, channels=[])
    (incident,) = manager.open()
    assert incident.alert.summary == OLD["what"]
    assert (incident.alert.impact, incident.alert.remediation) == (OLD["effect"], OLD["command"])
    assert (incident.alert.data_source, f"{incident.alert.started_at:%Y-%m-%d}") == ("recorded", "2026-03-02")
    with store.engine(old_store).begin() as connection:
        events = connection.execute(sa.select(store.messages.c.event).order_by(store.messages.c.id)).scalars().all()
    assert events == ["firing", "reminder", "escalated", "resolved"]
    assert manager.recover("runs", OLD["fingerprint"])


def test_a_store_of_the_release_before_takes_acknowledgements_and_silences(old_store: Settings) -> None:
    clock = Clock()
    memory = Memory(clock)
    manager = AlertManager(old_store, clock, [memory])
    assert manager.acknowledge(str(OLD["fingerprint"]), "Anna")
    manager.silence(NOON + timedelta(hours=1), "Anna", kind="run failure")
    manager.deliver()
    assert memory.posts == []
    [incident] = manager.open()
    assert (incident.acknowledged_at, incident.silenced_until) == (NOON, NOON + timedelta(hours=1))


def test_processes_that_upgrade_a_store_at_once_do_not_disturb_one_another(old_store: Settings) -> None:
    start = Barrier(4)

    def upgrade(_: int) -> None:
        # Each with an engine of its own, as processes have.
        start.wait()
        store._engine.__wrapped__(f"sqlite:///{old_store.crypto_platform_home / 'alerts.db'}").dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, range(4)))
    assert len(AlertManager(old_store, channels=[]).open()) == 1
