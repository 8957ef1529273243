"""How requests reach Alpaca: which addresses may be used, with which time limits."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from crypto_platform.connectors.alpaca import NOT_ALPACA
from crypto_platform.connectors.alpaca.errors import AlpacaConfigError
from crypto_platform.connectors.alpaca.rate import RateLimit
from crypto_platform.settings import is_loopback

LONGEST_CONNECT = 10.0
LONGEST_ERROR_BODY = 10_000


class ResponseStatusError(Exception):
    """An answer other than 200; its text is the body, or where a redirect leads."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status = status


ALPACA = "Alpaca"


class Answer(requests.Response):
    """Reads JSON with one parser: requests takes simplejson, which refuses NaN, where it is installed."""

    def json(self, **_: Any) -> Any:
        return json.loads(self.content)


class Transport(HTTPAdapter):
    """Sends alpaca-py's requests: with timeouts, noting the rate limit, raising on every answer but a 200.

    alpaca-py never sees an error status, so its own retries (3 s apart, 429 and 504 only) never start.
    """

    def __init__(self, timeout: float, rate: RateLimit, connections: int) -> None:
        super().__init__(pool_maxsize=connections, max_retries=0)
        self._timeout = (min(timeout, LONGEST_CONNECT), timeout)
        self._rate = rate
        self.origin = ALPACA

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        if is_local(str(request.url)):
            proxies = None  # a proxy from the environment would carry loopback's plain text elsewhere
        response = super().send(
            request, stream=stream, timeout=self._timeout, verify=verify, cert=cert, proxies=proxies
        )
        self._rate.note(response.status_code, response.headers)
        self.origin = response.headers.get(NOT_ALPACA, ALPACA)
        if response.status_code != 200:
            body = response.content[:LONGEST_ERROR_BODY].decode(errors="replace")
            raise ResponseStatusError(response.status_code, response.headers.get("Location") or body)
        return response

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.__class__ = Answer
        return response


def check_address(url: str, has_keys: bool, setting: str = "APCA_API_DATA_URL") -> None:
    """Whether Alpaca may be asked at `url`, which `setting` gives, and be shown the keys there.

    Raises:
        AlpacaConfigError: it is no http(s) address, holds a password, or keys would be readable on the way.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AlpacaConfigError(f"{setting} is to be an address such as https://data.alpaca.markets")
    if parts.username or parts.password:
        raise AlpacaConfigError(f"{setting} holds a user or password: leave them out")
    if has_keys and parts.scheme == "http" and not is_local(url):
        raise AlpacaConfigError(
            f"{setting} is plain http to {parts.hostname}: the keys would be readable on the way. "
            "Write https:// (wss://), or unset APCA_API_KEY_ID and APCA_API_SECRET_KEY"
        )


def is_local(url: str) -> bool:
    """Whether the address is on this machine."""
    return is_loopback(urlsplit(url).hostname or "")
