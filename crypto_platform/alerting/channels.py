"""Where messages are posted: Slack, e-mail, any webhook, the log. Addresses that are secrets are never told."""

import logging
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.message import Event, Message
from crypto_platform.settings import Settings

logger = logging.getLogger("crypto_platform.alerts")

LONGEST_CONNECT = 5.0
# Of RFC 9110: of the message itself, not of the channel.
_MALFORMED = {400, 413, 422}


class ChannelUnavailableError(Exception):
    """The channel takes nothing now; `retry_after` seconds, where it says so."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class MessageRejectedError(Exception):
    """The channel does not take this message; another one it may."""


class Channel(Protocol):
    """One way to tell somebody."""

    @property
    def name(self) -> str: ...

    def post(self, message: Message) -> None:
        """Have the message delivered.

        Raises:
            ChannelUnavailableError: nothing can be delivered now.
            MessageRejectedError: this message cannot.
        """


def configured(settings: Settings) -> list[Channel]:
    """The channels that the settings name, those to people first."""
    found: list[Channel] = []
    seconds = settings.alert_timeout_seconds
    if settings.alert_slack_webhook_url:
        found.append(Slack(settings.alert_slack_webhook_url.get_secret_value(), seconds))
    if settings.alert_smtp_host:
        found.append(Email(settings))
    if settings.alert_webhook_url:
        token = settings.alert_webhook_token
        url = settings.alert_webhook_url.get_secret_value()
        found.append(Webhook(url, token.get_secret_value() if token else None, seconds))
    if settings.alert_log:
        found.append(Log(settings.crypto_platform_home / "alerts.log"))
    return found


class Slack:
    """A Slack incoming webhook, https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"""

    name = "slack"

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    def post(self, message: Message) -> None:
        lines = [f"*{_escaped(message.title)}*"]
        for name, value in message.fields:
            shown = f"`{_escaped(value)}`" if name == "remediation" else _escaped(value)
            lines.append(f"{_escaped(name)}: {shown}")
        _send(self._url, {"text": "\n".join(lines)}, {}, self._timeout)


class Webhook:
    """Any address that takes the message as JSON (`Message.as_json`), with a bearer token where one is set."""

    name = "webhook"

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout

    def post(self, message: Message) -> None:
        _send(self._url, message.as_json(), self._headers, self._timeout)


class Email:
    """SMTP, by STARTTLS or TLS unless the settings say that there is none."""

    name = "email"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def post(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = message.title
        mail["From"] = self._settings.alert_email_from
        mail["To"] = ", ".join(self._settings.alert_recipients)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.key}@crypto-platform.invalid>"
        mail.set_content(f"{message.text}\n")
        where = f"{self._settings.alert_smtp_host}:{self._settings.alert_smtp_port}"
        try:
            with self._connect() as server:
                refused = server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise ChannelUnavailableError(f"{where} takes none of the recipients: {_codes(error.recipients)}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise ChannelUnavailableError(f"{where} refuses the login ({error.smtp_code})") from None
        except smtplib.SMTPDataError as error:
            kind = MessageRejectedError if error.smtp_code >= 500 else ChannelUnavailableError
            raise kind(f"{where} refuses the message ({error.smtp_code})") from None
        except smtplib.SMTPResponseException as error:
            raise ChannelUnavailableError(f"{where} answers {error.smtp_code}") from None
        except ssl.SSLError as error:
            raise ChannelUnavailableError(f"{where}: no TLS ({error.reason})") from None
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelUnavailableError(f"{where}: {type(error).__name__}") from None
        if refused:
            logger.warning("%s takes the mail, but not for %s", where, _codes(refused))

    def _connect(self) -> smtplib.SMTP:
        chosen, seconds = self._settings, self._settings.alert_timeout_seconds
        host, port = str(chosen.alert_smtp_host), chosen.alert_smtp_port
        context = ssl.create_default_context()
        if chosen.alert_smtp_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=seconds)
        try:
            if chosen.alert_smtp_security == "starttls":
                server.starttls(context=context)
            if chosen.alert_smtp_username and chosen.alert_smtp_password:
                server.login(chosen.alert_smtp_username, chosen.alert_smtp_password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server


class Log:
    """A file that keeps every message, and the logger `crypto_platform.alerts`."""

    name = "log"

    def __init__(self, file: Path) -> None:
        self._file = file

    def post(self, message: Message) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(f"{formatdate(usegmt=True)}  {message.text}\n\n")
        except OSError as error:
            raise ChannelUnavailableError(f"{self._file}: {error.strerror}") from None
        worst = max(item.alert.severity for item in message.items)
        over = all(item.event in (Event.RESOLVED, Event.TEST) for item in message.items)
        level = logging.INFO if over else logging.WARNING if worst is Severity.WARNING else logging.ERROR
        logger.log(level, "%s", message.text)


def _send(url: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout: float) -> None:
    """POST the body as JSON. The address is a secret: of it, errors show the host alone."""
    address = urlsplit(url)
    host = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
    with requests.Session() as session:
        # A proxy of the environment is for addresses beyond this machine.
        session.trust_env = not is_loopback(address.hostname or "")
        try:
            answer = session.post(
                url,
                json=body,
                headers=dict(headers),
                timeout=(min(timeout, LONGEST_CONNECT), timeout),
                # The next address would be told the secret, too.
                allow_redirects=False,
            )
        except requests.Timeout:
            raise ChannelUnavailableError(f"{host} does not answer within {timeout:g} s") from None
        except requests.ConnectionError:
            raise ChannelUnavailableError(f"{host} cannot be reached") from None
        except requests.RequestException as error:
            raise ChannelUnavailableError(f"{host}: {type(error).__name__}") from None
    if answer.status_code in _MALFORMED:
        raise MessageRejectedError(f"{host} answers {answer.status_code}")
    if not answer.ok or answer.is_redirect:
        after = answer.headers.get("Retry-After", "")
        raise ChannelUnavailableError(f"{host} answers {answer.status_code}", float(after) if after.isdigit() else None)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _escaped(text: str) -> str:
    """Slack's own markup as text, https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _codes(recipients: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{address} ({code})" for address, (code, _) in recipients.items())
