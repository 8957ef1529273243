"""The market's time: the wall clock's, or that of a replay by the sandbox server."""

import time
from datetime import UTC, datetime

import requests

from crypto_platform.connectors.alpaca import NOT_ALPACA
from crypto_platform.connectors.alpaca.transport import is_local

_SECONDS = 5.0


class MarketClock:
    """The wall clock, unless `url` is the sandbox server, whose stream may be a replay of another time."""

    def __init__(self, url: str = "") -> None:
        self._url = url.rstrip("/") if url and is_local(url) else None
        self.speed = 1.0
        self._ahead = 0.0
        self._read = time.time()

    def sync(self) -> None:
        """Ask the sandbox server for its time; anything else has none of its own. Blocks for seconds at most."""
        if self._url is None:
            return
        try:
            # A proxy from the environment has no business between two programs of this machine.
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(f"{self._url}/sandbox/clock", timeout=_SECONDS)
            if answer.status_code != 200 or NOT_ALPACA not in answer.headers:
                return
            told = answer.json()
        except requests.RequestException:
            return
        self._read = time.time()
        self.speed = float(told["speed"])
        self._ahead = float(told["now"]) - self._read

    def now(self) -> datetime:
        """UTC; never past the wall clock."""
        wall = time.time()
        market = self._read + self._ahead + (wall - self._read) * self.speed
        return datetime.fromtimestamp(min(market, wall), UTC)
