"""Where messages are posted: any service that Apprise knows, a webhook of one's own, the log. Addresses are secrets."""

import logging
import re
from collections import Counter
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from crypto_platform.alerting.alert import Severity
from crypto_platform.alerting.message import Event, Message
from crypto_platform.settings import Settings, is_loopback

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("crypto_platform.alerts")

LONGEST_CONNECT = 5.0
# One post may be several: a long text in parts, several recipients, and the pauses that a service asks for.
REQUESTS_PER_POST = 6
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
    """One way to notify somebody."""

    @property
    def name(self) -> str: ...

    def post(self, message: Message) -> None:
        """Have the message delivered.

        Raises:
            ChannelUnavailableError: nothing can be delivered now.
            MessageRejectedError: this message cannot.
        """


def configured(settings: Settings) -> list[Channel]:
    """The channels that the settings name, those to people first.

    A service is named by its URL's scheme, a further one of the same with its number: slack, slack-2. That shows no
    secret, and what is pending outlasts a change of the secret.
    """
    found: list[Channel] = []
    seconds = settings.alert_timeout_seconds
    schemes: Counter[str] = Counter()
    for url in settings.apprise_urls:
        scheme = url.partition("://")[0].lower()
        schemes[scheme] += 1
        found.append(Service(url, scheme if schemes[scheme] == 1 else f"{scheme}-{schemes[scheme]}", seconds))
    if settings.alert_webhook_url:
        token = settings.alert_webhook_token
        url = settings.alert_webhook_url.get_secret_value()
        found.append(Webhook(url, token.get_secret_value() if token else None, seconds))
    if settings.alert_log:
        found.append(Log(settings.crypto_platform_home / "alerts.log"))
    return found


class Service:
    """A service by its Apprise URL, https://appriseit.com/services"""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self.name = name
        self._url = url
        self._timeout = timeout

    def post(self, message: Message) -> None:
        # Here, for the processes that send nothing: it takes a while and some memory.
        import apprise

        _mute_loggers_of_addresses()
        asset = apprise.AppriseAsset(
            app_id="crypto_platform",
            image_url_mask="",
            image_url_logo="",
            service_timeout=self._timeout * REQUESTS_PER_POST,
        )
        service = apprise.Apprise.instantiate(self._url, asset=asset)
        if service is None:
            raise ChannelUnavailableError("Apprise cannot use its URL in ALERT_URLS: unknown, or a part is missing")
        if _is_plain(service):
            raise ChannelUnavailableError(f"its URL in ALERT_URLS is not encrypted: use {service.secure_protocol}://")
        service.socket_connect_timeout = min(self._timeout, LONGEST_CONNECT)
        service.socket_read_timeout = self._timeout
        service.overflow_mode = apprise.OverflowMode.SPLIT
        # Whatever its URL says: a redirect would pass the secret on, an optional service never fails.
        service.redirects = service.optional = False
        if len(message.items) == 1 and hasattr(service, "dedup"):
            # An on-call service finds its own incident again by it.
            service.dedup = sha256(message.items[0].alert.fingerprint.encode()).hexdigest()
        sender = apprise.Apprise(asset=asset)
        sender.add(service)
        body = "\n".join(f"{name}: {value}" for name, value in message.fields)
        resolved = all(item.event is Event.RESOLVED for item in message.items)
        kind = {None: "info", Severity.WARNING: "warning"}.get(message.severity, "failure")
        # As plain text: names are full of what Markdown takes for its own.
        result = sender.notify(body, message.title, "success" if resolved else kind, apprise.NotifyFormat.TEXT)
        if not result:
            # Of what Apprise says the status alone: the rest may have a part of the URL.
            said = re.findall(r"\berror=(\d{3})\b", " ".join(entry.message for entry in result.logs()))
            if not said:
                raise ChannelUnavailableError("cannot be reached, does not answer in time, or refuses the login")
            raise _refusal(int(said[-1]), f"answers {said[-1]}")


class Webhook:
    """Any address that takes the message as JSON (`Message.as_json`), with a bearer token where one is set.

    Apprise's json:// has a title and a text, but no fields.
    """

    name = "webhook"

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout

    def post(self, message: Message) -> None:
        import requests

        _mute_loggers_of_addresses()
        address = urlsplit(self._url)
        host = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
        with requests.Session() as session:
            # A proxy of the environment is for addresses beyond this machine.
            session.trust_env = not is_loopback(address.hostname or "")
            try:
                answer = session.post(
                    self._url,
                    json=message.as_json(),
                    headers=self._headers,
                    timeout=(min(self._timeout, LONGEST_CONNECT), self._timeout),
                    # The next address would get the secret, too.
                    allow_redirects=False,
                )
            except requests.Timeout:
                raise ChannelUnavailableError(f"{host} does not answer within {self._timeout:g} s") from None
            except requests.ConnectionError:
                raise ChannelUnavailableError(f"{host} cannot be reached") from None
            except requests.RequestException as error:
                raise ChannelUnavailableError(f"{host}: {type(error).__name__}") from None
        if not answer.ok or answer.is_redirect:
            after = answer.headers.get("Retry-After", "")
            says = f"{host} answers {answer.status_code}"
            raise _refusal(answer.status_code, says, float(after) if after.isdigit() else None)


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
        level = {None: logging.INFO, Severity.WARNING: logging.WARNING}.get(message.severity, logging.ERROR)
        logger.log(level, "%s", message.text)


def _is_plain(service: "NotifyBase") -> bool:
    """Whether the URL chose the plain one of two protocols, and that to another machine."""
    has_both = service.protocol and service.secure_protocol
    return bool(has_both and not service.secure and not is_loopback(service.host or ""))


def _refusal(status: int, says: str, retry_after: float | None = None) -> Exception:
    return MessageRejectedError(says) if status in _MALFORMED else ChannelUnavailableError(says, retry_after)


def _mute_loggers_of_addresses() -> None:
    """Apprise logs the URL that it cannot read, urllib3 the path of each request."""
    logging.getLogger("apprise").propagate = False
    logging.getLogger("urllib3").setLevel(logging.INFO)
