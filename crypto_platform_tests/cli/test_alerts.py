"""`crypto-platform alerts` as a person runs it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from crypto_platform.alerting.manager import AlertManager
from crypto_platform.cli.alerts import app
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import alert
from crypto_platform_tests.alerting.receivers import HttpReceiver


@pytest.fixture
def chosen(alert_settings: Settings, http: HttpReceiver, using: Callable[[Settings], Settings]) -> Settings:
    return using(Settings(crypto_platform_home=alert_settings.crypto_platform_home, alert_webhook_url=http.url))


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


def run(*arguments: str, code: int = 0) -> str:
    answer = CliRunner().invoke(app, arguments, env={"LOGNAME": "anna"})
    assert answer.exit_code == code, answer.output
    return " ".join(answer.output.replace("│", " ").split())


def test_list_shows_who_acknowledged_and_what_is_silenced(chosen: Settings) -> None:
    AlertManager(chosen).raise_("here", alert("a", kind="load lag", feed="crypto"))
    assert "runbook docs/runbooks/load-lag.md" in run("list")
    assert run("acknowledge", "a", "--note", "waits for Alpaca") == "Acknowledged by anna."
    assert "not open" in run("acknowledge", "b", code=1)
    shown = run("silence", "--feed", "crypto", "--kind", "load lag", "--until", "2999-01-01T01:00+01:00", "--by", "Bo")
    assert shown == "Silence 1, until 2999-01-01 00:00 UTC; of what is open it silences 1."
    listed = run("list")
    assert re.search(r"acknowledged by anna, \d{4}-\d\d-\d\d \d\d:\d\d UTC: waits for Alpaca", listed)
    assert "silenced until 2999-01-01 00:00 UTC" in listed
    assert run("silences") == "1 until 2999-01-01 00:00 UTC feed crypto, kind load lag by Bo"
    assert run("unsilence", "1") == "Ended."
    assert "no silence 1" in run("unsilence", "1", code=1)
    assert run("silences") == "Nothing is silenced."
    assert "silenced" not in run("list")


def test_a_silence_lasts_as_long_as_it_says(chosen: Settings) -> None:
    now = datetime.now(UTC)
    for length in ("30m", "2h", "1d"):
        run("silence", "--fingerprint", "a", "--for", length)
    ends = [silence.ends_at for silence in AlertManager(chosen).silences()]
    assert [round((end - now).total_seconds() / 60) for end in ends] == [30, 120, 1440]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "A silence needs one end: --for 2h or --until"),
        (["--for", "2h", "--until", "2999-01-01"], "A silence needs one end"),
        (["--for", "two hours"], "no length of time"),
        (["--for", "0m"], "silences nothing"),
        (["--until", "2020-01-01"], "A silence that ended at 2020-01-01 00:00 UTC silences nothing."),
        (["--until", "tomorrow"], "'tomorrow' is no time: write"),
        (["--for", "2h", "--kind", "surprise"], "No alert is of the kind 'surprise'"),
    ],
)
def test_a_silence_without_an_end_to_come_is_refused_in_a_sentence(
    given: list[str], says: str, chosen: Settings
) -> None:
    assert says in run("silence", "--feed", "crypto", *given, code=2)
    assert AlertManager(chosen).silences() == []
