"""Messages as they arrive at real servers on loopback."""

import logging
import socket
from collections.abc import Callable
from datetime import timedelta
from email.header import decode_header, make_header

import pytest
from pydantic import SecretStr, ValidationError

from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.channels import (
    Channel,
    ChannelUnavailableError,
    Email,
    Log,
    MessageRejectedError,
    Slack,
    Webhook,
    configured,
)
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.alerting.message import Event, Item, Message
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import NOON, Clock, alert
from crypto_platform_tests.alerting.receivers import PASSWORD, USER, HttpReceiver, MailReceiver

SECRET = "T000/B000/s3cret-path"

LATE = alert(
    "late",
    Severity.CRITICAL,
    summary="raw/crypto_bars is late",
    feed="crypto",
    partitions="2026-03-28",
    impact="the dashboard ends at 2026-03-27",
    cause="the run <failed> & nobody ran it again",
    link="http://127.0.0.1:3000/assets/raw/crypto_bars",
    remediation="crypto-platform backfill --feed crypto --from 2026-03-28 --to 2026-03-29",
    data_source="simulated",
)
TEXT = """\
CRITICAL: raw/crypto_bars is late · crypto, 2026-03-28
  since         2026-03-29 12:00:00 UTC
  severity      critical
  impact        the dashboard ends at 2026-03-27
  likely cause  the run <failed> & nobody ran it again
  data source   simulated
  link          http://127.0.0.1:3000/assets/raw/crypto_bars
  remediation   crypto-platform backfill --feed crypto --from 2026-03-28 --to 2026-03-29"""
MESSAGE = Message([Item(Event.FIRING, LATE, NOON)], key="log-1-1")
RECOVERY = Message([Item(Event.RESOLVED, LATE, NOON + timedelta(hours=3, minutes=5))], key="log-2-1")


@pytest.fixture
def mail_settings(mail: MailReceiver, alert_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SSL_CERT_FILE", str(mail.certificate))
    chosen = {
        "alert_smtp_host": "127.0.0.1",
        "alert_smtp_port": mail.port,
        "alert_smtp_username": USER,
        "alert_smtp_password": SecretStr(PASSWORD),
        "alert_email_from": "platform@example.com",
        "alert_email_to": "one@example.com, two@example.com",
    }
    return alert_settings.model_copy(update=chosen)


def test_a_message_reads_well() -> None:
    assert MESSAGE.text == TEXT
    assert RECOVERY.text.splitlines() == [
        "RESOLVED after 3 h 5 min: raw/crypto_bars is late · crypto, 2026-03-28",
        "  since        2026-03-29 12:00:00 until 2026-03-29 15:05:00 UTC",
        "  data source  simulated",
        "  link         http://127.0.0.1:3000/assets/raw/crypto_bars",
    ]


def test_slack_gets_its_own_markup(http: HttpReceiver) -> None:
    Slack(f"{http.url}/services/{SECRET}", 5).post(MESSAGE)
    [(path, _, body)] = http.received
    assert path == f"/services/{SECRET}"
    lines = body["text"].splitlines()
    assert lines[0] == "*CRITICAL: raw/crypto_bars is late · crypto, 2026-03-28*"
    assert "likely cause: the run &lt;failed&gt; &amp; nobody ran it again" in lines
    assert lines[-1].startswith("remediation: `crypto-platform backfill")


def test_a_webhook_gets_every_field_as_json(http: HttpReceiver) -> None:
    Webhook(http.url, "s3cret-token", 5).post(MESSAGE)
    [(_, headers, body)] = http.received
    assert headers["Authorization"] == "Bearer s3cret-token"
    assert (body["event"], body["key"], body["text"]) == ("firing", "log-1-1", TEXT)
    [sent] = body["alerts"]
    assert (sent["severity"], sent["started_at"], sent["feed"]) == ("critical", "2026-03-29T12:00:00Z", "crypto")


def test_mail_goes_encrypted_and_with_the_login(mail: MailReceiver, mail_settings: Settings) -> None:
    Email(mail_settings).post(MESSAGE)
    [received] = mail.mails
    assert received["To"] == "one@example.com, two@example.com"
    assert received["Message-ID"] == "<log-1-1@crypto-platform.invalid>"
    assert str(make_header(decode_header(received["Subject"]))) == MESSAGE.title
    assert received.get_payload(decode=True).decode().splitlines() == TEXT.splitlines()


def test_a_wrong_login_or_certificate_is_told_without_secrets(
    mail: MailReceiver, mail_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = mail_settings.model_copy(update={"alert_smtp_password": SecretStr("s3cret-wrong")})
    with pytest.raises(ChannelUnavailableError, match="refuses the login") as refused:
        Email(wrong).post(MESSAGE)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ChannelUnavailableError, match="no TLS"):
        Email(mail_settings).post(MESSAGE)
    assert "s3cret" not in str(refused.value)
    assert mail.mails == []


def test_the_log_keeps_every_message(alert_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    file = alert_settings.crypto_platform_home / "alerts.log"
    channel = Log(file)
    with caplog.at_level(logging.INFO, "crypto_platform.alerts"):
        channel.post(MESSAGE)
        channel.post(RECOVERY)
    assert file.read_text().count(LATE.summary) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, ChannelUnavailableError),
        (429, ChannelUnavailableError),
        (403, ChannelUnavailableError),
        (302, ChannelUnavailableError),
        (400, MessageRejectedError),
        (413, MessageRejectedError),
    ],
)
def test_answers_tell_a_channel_that_is_down_from_a_message_that_is_refused(
    http: HttpReceiver, status: int, kind: type[Exception]
) -> None:
    http.status, http.headers = status, {"Retry-After": "33", "Location": "http://127.0.0.1:1/"}
    with pytest.raises(kind, match=str(status)) as error:
        Webhook(f"{http.url}/{SECRET}", None, 5).post(MESSAGE)
    assert SECRET not in str(error.value)
    assert not isinstance(error.value, ChannelUnavailableError) or error.value.retry_after == 33


@pytest.mark.parametrize("channel", [Slack, lambda url, seconds: Webhook(url, None, seconds)])
def test_an_address_that_does_not_answer_is_told_without_its_secret(channel: Callable[[str, float], Channel]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        with pytest.raises(ChannelUnavailableError, match=r"does not answer within 0\.2 s") as slow:
            channel(url, 0.2).post(MESSAGE)
    with pytest.raises(ChannelUnavailableError, match="cannot be reached") as gone:
        channel(url, 5).post(MESSAGE)
    for error in (slow.value, gone.value):
        assert SECRET not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_a_mail_server_that_was_down_gets_what_it_missed(mail_settings: Settings, mail: MailReceiver) -> None:
    clock = Clock()
    up = mail_settings.alert_smtp_port
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = mail_settings.model_copy(update={"alert_smtp_port": nobody.getsockname()[1]})
        manager = AlertManager(down, clock, [Email(down)])
        manager.raise_("here", LATE)
        [report] = manager.deliver()
        assert report.error == f"127.0.0.1:{down.alert_smtp_port}: ConnectionRefusedError"
        manager.recover("here", LATE.fingerprint)
    again = down.model_copy(update={"alert_smtp_port": up})
    clock.forward(60)
    AlertManager(again, clock, [Email(again)]).deliver()
    assert len(mail.mails) == 2


def test_channels_are_those_of_the_settings(alert_settings: Settings, mail_settings: Settings) -> None:
    assert [channel.name for channel in configured(alert_settings)] == ["log"]
    everything = mail_settings.model_copy(
        update={
            "alert_slack_webhook_url": SecretStr("https://hooks.slack.com/services/x"),
            "alert_webhook_url": SecretStr("https://example.com"),
        }
    )
    assert [channel.name for channel in configured(everything)] == ["slack", "email", "webhook", "log"]
    assert configured(alert_settings.model_copy(update={"alert_log": False})) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"alert_webhook_url": "http://example.com/s3cret"}, "https"),
        ({"alert_slack_webhook_url": "s3cret"}, "https"),
        ({"alert_smtp_host": "mail.example.com"}, "ALERT_EMAIL_TO"),
        ({"alert_smtp_password": "s3cret", "alert_smtp_security": "none"}, "starttls"),
    ],
)
def test_settings_that_would_tell_a_secret_or_nobody_are_refused(wrong: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as error:
        Settings(**wrong)  # type: ignore[arg-type]
    assert "s3cret" not in str(error.value)
