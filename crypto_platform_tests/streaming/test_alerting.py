"""Troubles of the live path become alerts when they last, and recover when they are gone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import time_machine
from sqlalchemy.exc import OperationalError

from crypto_platform.alerting import store
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.monitoring.scope import command_in
from crypto_platform.settings import Settings
from crypto_platform.streaming.alerting import Teller, Trouble
from crypto_platform.streaming.service import Service


def test_a_trouble_that_lasts_is_an_alert_until_it_is_over(fresh_settings: Settings, tmp_path: Path) -> None:
    teller, manager = Teller(fresh_settings, "stream"), AlertManager(fresh_settings)
    passing = Trouble("crypto", "stream silence", "nothing comes", feed="crypto", patience=3600)
    lasting = Trouble("kafka", "stream lag", "bars wait for Kafka", patience=0)
    teller.observe([passing, lasting])
    (incident,) = manager.open()
    assert (incident.alert.fingerprint, incident.alert.summary) == ("stream:kafka", "bars wait for Kafka")
    since = incident.alert.started_at
    teller.observe([passing, lasting])
    assert [e.alert.started_at for e in manager.open()] == [since]
    teller.observe([passing])
    assert manager.open() == []


def test_an_alert_outlives_a_restart_while_its_trouble_lasts(fresh_settings: Settings) -> None:
    manager, trouble = AlertManager(fresh_settings), Trouble("kafka", "stream lag", "bars wait for Kafka")
    before = Teller(fresh_settings, "stream")
    before.observe([trouble])
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=61)):
        before.observe([trouble])
        [told] = manager.open()
        restarted = Teller(fresh_settings, "stream")
        restarted.observe([trouble])
        assert manager.open() == [told]
        restarted.observe([])
        assert manager.open() == []


def test_a_store_that_is_away_at_the_start_is_asked_again(
    fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, trouble = Teller(fresh_settings, "stream"), Trouble("kafka", "stream lag", "bars wait", patience=0)

    def away(settings: Settings) -> None:
        raise OperationalError("", None, Exception("it is away"))

    with monkeypatch.context() as patched:
        patched.setattr(store, "engine", away)
        with pytest.raises(OperationalError):
            teller.observe([trouble])
    teller.observe([trouble])
    assert [incident.alert.fingerprint for incident in AlertManager(fresh_settings).open()] == ["stream:kafka"]


def test_what_mends_a_silent_stream_is_a_command(fresh_settings: Settings) -> None:
    service = Service(fresh_settings, {})
    service._feeds = [SimpleNamespace(name="crypto", is_well=False, problem=None)]  # type: ignore[list-item]
    [trouble] = service._troubles()
    assert trouble.remediation == command_in(trouble.remediation)
