"""`crypto-platform alerts` as a person runs it."""

import os

import pytest
from typer.testing import CliRunner

from crypto_platform.alerting.manager import AlertManager
from crypto_platform.cli.alerts import app
from crypto_platform.settings import Settings, settings, use
from crypto_platform_tests.alerting.conftest import alert
from crypto_platform_tests.alerting.receivers import HttpReceiver


@pytest.fixture
def chosen(alert_settings: Settings, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    use(Settings(crypto_platform_home=alert_settings.crypto_platform_home, alert_webhook_url=http.url))
    yield settings()
    settings.cache_clear()


def test_test_says_what_came_of_each_channel(chosen: Settings, http: HttpReceiver) -> None:
    answer = CliRunner().invoke(app, ["test"])
    assert (answer.exit_code, answer.output) == (0, "✓ webhook: delivered\n✓ log: delivered\n")
    [(_, _, body)] = http.received
    assert body["title"] == "TEST: a test of this channel, nothing is wrong"
    http.status = 500
    answer = CliRunner().invoke(app, ["test"])
    assert answer.exit_code == 1
    assert "✗ webhook: 127.0.0.1:" in answer.output
    assert "answers 500" in answer.output
    assert "✓ log" in answer.output


def test_list_shows_what_is_open_and_resolve_resolves_it(chosen: Settings) -> None:
    assert CliRunner().invoke(app, ["list"]).output == "Nothing is open.\n"
    AlertManager(chosen).raise_("here", alert("run:crypto:2026-03-01", remediation="crypto-platform doctor"))
    shown = CliRunner().invoke(app, ["list"]).output
    assert "remediation  crypto-platform doctor" in shown
    assert "fingerprint  run:crypto:2026-03-01" in shown
    assert "webhook: 1 messages waiting" in shown
    assert CliRunner().invoke(app, ["resolve", "run:crypto:2026-03-01"]).output == "Resolved.\n"
    assert CliRunner().invoke(app, ["resolve", "run:crypto:2026-03-01"]).exit_code == 1
    assert AlertManager(chosen).open() == []


def test_resolve_takes_a_fingerprint_as_list_shows_it(chosen: Settings) -> None:
    AlertManager(chosen).raise_("here", alert("run:crypto:[2026-03-01, 2026-03-04):"))
    shown = CliRunner().invoke(app, ["list"]).output
    [fingerprint] = [line.split(maxsplit=1)[1] for line in shown.splitlines() if "fingerprint" in line]
    assert CliRunner().invoke(app, f"resolve {fingerprint}").output == "Resolved.\n"
