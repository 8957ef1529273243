"""Messages as they arrive at real servers on loopback."""

import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from email.header import decode_header, make_header

import pytest
import requests
from pydantic import SecretStr, ValidationError

from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.channels import (
    ChannelUnavailableError,
    Log,
    MessageRejectedError,
    Service,
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
    kind="freshness",
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
  remediation   crypto-platform backfill --feed crypto --from 2026-03-28 --to 2026-03-29
  runbook       docs/runbooks/freshness.md"""
MESSAGE = Message([Item(Event.FIRING, LATE, NOON, "docs/runbooks")], key="log-1-1")
RECOVERY = Message([Item(Event.RESOLVED, LATE, NOON + timedelta(hours=3, minutes=5), "docs/runbooks")], key="log-2-1")


APPRISE_BODY = [
    line.strip()
    for line in """\
since: 2026-03-29 12:00:00 UTC
severity: critical
impact: the dashboard ends at 2026-03-27
likely cause: the run <failed> & nobody ran it again
data source: simulated
link: http://127.0.0.1:3000/assets/raw/crypto_bars
remediation: crypto-platform backfill --feed crypto --from 2026-03-28 --to 2026-03-29
runbook: docs/runbooks/freshness.md""".splitlines()
]


def service(url: str, seconds: float = 5) -> Service:
    return Service(url, url.partition("://")[0], seconds)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that a handler of the root logger gets at DEBUG; pytest's own also gets what is kept from the root."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


def plain(http: HttpReceiver) -> str:
    """The receiver as Apprise's json:// has it."""
    return http.url.replace("http://", "json://")


@pytest.fixture
def mailto(mail: MailReceiver, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SSL_CERT_FILE", str(mail.certificate))
    people = "from=platform@example.com&to=one@example.com,two@example.com"
    return f"mailtos://{USER}:{PASSWORD}@127.0.0.1:{mail.port}?mode=starttls&{people}"


def test_a_message_reads_well() -> None:
    assert MESSAGE.text == TEXT
    assert RECOVERY.text.splitlines() == [
        "RESOLVED after 3 h 5 min: raw/crypto_bars is late · crypto, 2026-03-28",
        "  since        2026-03-29 12:00:00 until 2026-03-29 15:05:00 UTC",
        "  data source  simulated",
        "  link         http://127.0.0.1:3000/assets/raw/crypto_bars",
    ]


def test_a_service_gets_title_and_text(http: HttpReceiver) -> None:
    service(f"{plain(http)}/{SECRET}").post(MESSAGE)
    service(f"{plain(http)}/{SECRET}").post(RECOVERY)
    [(path, _, body), (_, _, over)] = http.received
    assert path == f"/{SECRET}"
    assert (body["title"], body["type"], over["type"]) == (MESSAGE.title, "failure", "success")
    assert body["message"].splitlines() == APPRISE_BODY


def test_a_text_that_is_too_long_for_a_service_goes_in_parts(http: HttpReceiver) -> None:
    long = LATE.model_copy(update={"cause": "why " * 10_000})
    service(plain(http)).post(Message([Item(Event.FIRING, long, NOON, "docs/runbooks")], key=""))
    assert len(http.received) > 1
    assert http.received[-1][2]["message"].endswith("docs/runbooks/freshness.md")


def test_names_and_signs_are_none_of_slack_s_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[tuple[str, str, dict[str, object]]] = []

    def request(_: requests.Session, method: str, url: str, **given: object) -> requests.Response:
        posted.append((url, str(given["data"]), given))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    service("slack://T0AAAAAAA/B0BBBBBBB/s3cretpathofthewebhook24").post(MESSAGE)
    [(url, body, given)] = posted
    assert url.startswith("https://hooks.slack.com/services/T0AAAAAAA/")
    assert (given["timeout"], given["allow_redirects"], given["verify"]) == ((5, 5), False, True)
    [attachment] = json.loads(body)["attachments"]
    assert "the run &lt;failed&gt; &amp; nobody ran it again" in attachment["text"]
    assert "assets/raw/crypto_bars" in attachment["text"]


def test_an_on_call_service_finds_the_incident_again_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[dict[str, object]] = []

    def request(_: requests.Session, method: str, url: str, **given: object) -> requests.Response:
        posted.append(json.loads(str(given["data"])))
        answer = requests.Response()
        answer.status_code = 202
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    for message in (MESSAGE, RECOVERY):
        service("pagerduty://s3cretintegration@s3cretapikey?action=map").post(message)
    assert [one["event_action"] for one in posted] == ["trigger", "resolve"]
    assert len({one["dedup_key"] for one in posted}) == 1


def test_a_webhook_gets_every_field_as_json(http: HttpReceiver) -> None:
    Webhook(http.url, "s3cret-token", 5).post(MESSAGE)
    [(_, headers, body)] = http.received
    assert headers["Authorization"] == "Bearer s3cret-token"
    assert (body["event"], body["key"], body["text"]) == ("firing", "log-1-1", TEXT)
    [sent] = body["alerts"]
    assert sent["runbook"] == "docs/runbooks/freshness.md"
    assert (sent["severity"], sent["started_at"], sent["feed"]) == ("critical", "2026-03-29T12:00:00Z", "crypto")


def test_mail_goes_encrypted_and_with_the_login(mail: MailReceiver, mailto: str) -> None:
    service(mailto).post(MESSAGE)
    assert {received["To"] for received in mail.mails} == {"one@example.com", "two@example.com"}
    received = mail.mails[0]
    assert str(make_header(decode_header(received["Subject"]))) == MESSAGE.title
    assert received.get_payload(decode=True).decode().splitlines() == APPRISE_BODY


@pytest.mark.parametrize("wrong", ["password", "certificate"])
def test_a_wrong_login_or_certificate_is_an_error_without_secrets(
    wrong: str, mail: MailReceiver, mailto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong == "certificate":
        monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ChannelUnavailableError, match="refuses the login") as refused:
        service(mailto.replace(PASSWORD, "s3cret-wrong") if wrong == "password" else mailto).post(MESSAGE)
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
    with pytest.raises(kind, match=f"answers {status}") as error:
        Webhook(f"{http.url}/{SECRET}", None, 5).post(MESSAGE)
    assert SECRET not in str(error.value)
    assert not isinstance(error.value, ChannelUnavailableError) or error.value.retry_after == 33
    with pytest.raises(kind, match=f"answers {status}") as error:
        service(f"{plain(http)}/{SECRET}?optional=yes&redirect=yes").post(MESSAGE)
    assert SECRET not in str(error.value)


def test_a_webhook_that_does_not_answer_is_told_without_its_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        with pytest.raises(ChannelUnavailableError, match=r"does not answer within 0\.2 s") as slow:
            Webhook(url, None, 0.2).post(MESSAGE)
    with pytest.raises(ChannelUnavailableError, match="cannot be reached") as gone:
        Webhook(url, None, 5).post(MESSAGE)
    for error in (slow.value, gone.value):
        assert SECRET not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_a_service_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ChannelUnavailableError, match="does not answer in time"):
            service(f"json://127.0.0.1:{silent.getsockname()[1]}?rto=100&cto=100", 0.2).post(MESSAGE)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("url", ["slakc://s3cret", "slack://s3cret", "pagerduty://", "json://example.com/s3cret"])
def test_a_url_that_cannot_be_used_is_an_error_that_is_asked_again(
    url: str, alert_settings: Settings, logged: io.StringIO
) -> None:
    chosen = alert_settings.model_copy(update={"alert_urls": SecretStr(url), "alert_log": False})
    clock = Clock()
    manager = AlertManager(chosen, clock)
    manager.raise_("here", LATE)
    [report] = manager.deliver()
    assert "ALERT_URLS" in str(report.error)
    [pending] = manager.pending()
    assert (pending.messages, pending.error) == (1, report.error)
    assert "s3cret" not in str(report.error) + logged.getvalue()


def test_a_mail_server_that_was_down_gets_what_it_missed(
    alert_settings: Settings, mail: MailReceiver, mailto: str
) -> None:
    clock = Clock()

    def manager(url: str) -> AlertManager:
        chosen = {"alert_urls": SecretStr(url), "alert_log": False}
        return AlertManager(alert_settings.model_copy(update=chosen), clock)

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = manager(mailto.replace(f":{mail.port}", f":{nobody.getsockname()[1]}"))
        down.raise_("here", LATE)
        [report] = down.deliver()
        assert "cannot be reached" in str(report.error)
        down.recover("here", LATE.fingerprint)
    clock.forward(60)
    manager(mailto).deliver()
    assert len(mail.mails) == 4


def test_channels_are_those_of_the_settings(alert_settings: Settings) -> None:
    assert [channel.name for channel in configured(alert_settings)] == ["log"]
    urls = " slack://a/b/c, mailtos://u:p@example.com?to=one@example.com,two@example.com\nSlack://d/e/f,"
    everything = alert_settings.model_copy(
        update={"alert_urls": SecretStr(urls), "alert_webhook_url": SecretStr("https://example.com")}
    )
    assert everything.apprise_urls[1:] == [
        "mailtos://u:p@example.com?to=one@example.com,two@example.com",
        "Slack://d/e/f",
    ]
    assert [channel.name for channel in configured(everything)] == ["slack", "mailtos", "slack-2", "webhook", "log"]
    assert configured(alert_settings.model_copy(update={"alert_log": False})) == []


CANARY = "canary-s3cret"


@pytest.mark.parametrize("status", [200, 400, 500, None])
@pytest.mark.parametrize("channel", ["service", "webhook"])
def test_the_secret_of_an_address_is_in_no_log_error_or_row(
    channel: str,
    status: int | None,
    alert_settings: Settings,
    http: HttpReceiver,
    logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    http.status = status or 200
    base = http.url if status else "http://127.0.0.1:1"
    address = f"{base}/{CANARY}?token={CANARY}"
    update = {"alert_webhook_url": SecretStr(address), "alert_webhook_token": SecretStr(CANARY)}
    if channel == "service":
        update = {"alert_urls": SecretStr(address.replace("http://", f"json://user:{CANARY}@"))}
    chosen = alert_settings.model_copy(update=update)
    manager = AlertManager(chosen)
    manager.raise_("here", LATE)
    reports = manager.deliver()
    assert [bool(report.error) for report in reports] == [status != 200, False]
    if status == 200:
        assert CANARY in str(http.received), "the test posts no secret"
    stored = b"".join(file.read_bytes() for file in chosen.crypto_platform_home.iterdir())
    seen = [
        logged.getvalue(),
        *capfd.readouterr(),
        repr(reports),
        repr(manager.pending()),
        repr(chosen),
        repr(manager.open()),
    ]
    assert CANARY.encode() not in stored
    assert CANARY not in " ".join(seen)


def test_a_process_that_posts_nothing_does_not_import_apprise(alert_settings: Settings) -> None:
    program = """
import sys
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.settings import settings
from crypto_platform_tests.alerting.conftest import alert
AlertManager(settings()).raise_("here", alert())
sys.exit("apprise" in sys.modules)
"""
    chosen = alert_settings.model_copy(update={"alert_urls": SecretStr("slack://a/b/c")})
    subprocess.run([sys.executable, "-c", program], env=os.environ | chosen.environment(), check=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"alert_webhook_url": "http://example.com/s3cret"}, "https"),
        ({"alert_urls": "s3cret"}, "Apprise URL"),
    ],
)
def test_settings_that_would_tell_a_secret_or_nobody_are_refused(wrong: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as error:
        Settings(**wrong)  # type: ignore[arg-type]
    assert "s3cret" not in str(error.value)
