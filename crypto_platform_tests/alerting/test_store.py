"""A store that 0.1.0 wrote opens with its alerts."""

import json
from pathlib import Path

import sqlalchemy as sa

from crypto_platform.alerting import store
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.settings import Settings

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


def test_alerts_of_the_release_before_keep_what_they_say(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'alerts.db'}")
    store.metadata.create_all(engine)
    with engine.begin() as connection:
        row = {"source": "runs", "fingerprint": OLD["fingerprint"], "severity": 2, "opened_at": 0.0}
        connection.execute(store.incidents.insert().values(id=1, alert=json.dumps(OLD), **row))
        for number, event in enumerate(("alert", "still open", "worse", "recovery"), start=1):
            told = {"channel": "log", "incident": 1, "event": event, "due_at": 0.0, "sent_at": 1.0}
            connection.execute(store.messages.insert().values(id=number, **told))
    engine.dispose()

    manager = AlertManager(Settings(crypto_platform_home=tmp_path), channels=[])
    (incident,) = manager.open()
    assert incident.alert.summary == OLD["what"]
    assert (incident.alert.impact, incident.alert.remediation) == (OLD["effect"], OLD["command"])
    assert (incident.alert.data_source, f"{incident.alert.started_at:%Y-%m-%d}") == ("recorded", "2026-03-02")
    with store.engine(Settings(crypto_platform_home=tmp_path)).begin() as connection:
        events = connection.execute(sa.select(store.messages.c.event).order_by(store.messages.c.id)).scalars().all()
    assert events == ["firing", "reminder", "escalated", "resolved"]
    assert manager.recover("runs", OLD["fingerprint"])
