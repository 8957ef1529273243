"""Events on their way to the collector, beside what they tell of."""

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.transport import Transport

# Seconds of one post, in which a collector that lives answers.
_POST_SECONDS = 5.0


class NotInstalledError(ImportError):
    """OpenLineage's packages are not installed; says how to install them."""


def check_installed() -> None:
    """Raises:
    NotInstalledError: OpenLineage's packages are not there.
    """
    from importlib.util import find_spec

    if not (find_spec("openlineage") and find_spec("openlineage.common") and find_spec("openlineage.client")):
        raise NotInstalledError(
            "OPENLINEAGE_URL or OPENLINEAGE_FILE is set and OpenLineage's packages are not installed: install "
            "`crypto-platform[lineage]`, or unset it"
        )


class Delivery:
    """Sends events in the order they are given, in a thread of its own: whoever tells waits for `close` alone.

    Nothing here raises: a collector that is down costs events and a warning, never a run. The first post that finds no
    collector, or none that answers in time, is the last to it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: SimpleQueue[Callable[[], Iterable[RunEvent]] | None] = SimpleQueue()
        self._warnings: list[str] = []
        # Of each address what it said of the first event that it did not take, and how many those are.
        self._refused: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self._sent = 0
        self._ended = threading.Event()
        threading.Thread(target=self._deliver, name="openlineage", daemon=True).start()

    def send(self, make: Callable[[], "Iterable[RunEvent]"]) -> None:
        """Send what `make`, called in the thread, returns."""
        self._waiting.put(make)

    def guard(self, tell: Callable[..., None], *arguments: object) -> None:
        """Call `tell`, whose error is a warning."""
        try:
            tell(*arguments)
        except Exception as error:
            self._warn(f"lineage is incomplete: {type(error).__name__}: {error}")

    def close(self) -> list[str]:
        """Wait until everything is sent, or OPENLINEAGE_TIMEOUT_SECONDS have passed; what a person should know."""
        self._waiting.put(None)
        if not self._ended.wait(self._settings.openlineage_timeout_seconds):
            self._warn(
                f"lineage is incomplete: after {self._settings.openlineage_timeout_seconds:g} s "
                f"{self._sent} events were sent, and not the others. If the collector is slow, raise "
                "OPENLINEAGE_TIMEOUT_SECONDS"
            )
        with self._lock:
            return [
                *self._warnings,
                *(f"{to} refused {n} lineage events, first {said}" for to, (said, n) in self._refused.items()),
            ]

    def _warn(self, what: str) -> None:
        with self._lock:
            self._warnings.append(what)

    def _deliver(self) -> None:
        try:
            transports = _transports(self._settings)
            while make := self._waiting.get():
                try:
                    events = list(make())
                except Exception as error:
                    self._warn(f"lineage is incomplete: {type(error).__name__}: {error}")
                    continue
                for event in events:
                    transports = {to: t for to, t in transports.items() if self._post(to, t, event)}
                    self._sent += 1
        except Exception as error:
            self._warn(f"there is no lineage of this run: {type(error).__name__}: {error}")
        finally:
            self._ended.set()

    def _post(self, address: str, transport: "Transport", event: "RunEvent") -> bool:
        """Whether the next event may be posted there too."""
        import requests

        try:
            transport.emit(event)
        except requests.HTTPError as error:
            # The collector lives, and did not like this one.
            with self._lock:
                said, count = self._refused.get(address, (f"of {event.job.name}: {error}", 0))
                self._refused[address] = said, count + 1
        except Exception as error:
            self._warn(
                f"lineage is incomplete: {address} does not take events ({error}). Start the collector, or correct or "
                "unset OPENLINEAGE_URL or OPENLINEAGE_FILE"
            )
            return False
        return True


def _transports(settings: Settings) -> "dict[str, Transport]":
    """Where events go, by the address to tell a person."""
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider

    transports: dict[str, Transport] = {}
    if settings.openlineage_file is not None:
        settings.openlineage_file.parent.mkdir(parents=True, exist_ok=True)
        path = str(settings.openlineage_file)
        transports[path] = FileTransport(FileConfig(path, append=True))
    if settings.openlineage_url is not None:
        key = settings.openlineage_api_key
        auth = ApiKeyTokenProvider({"api_key": key.get_secret_value()}) if key else TokenProvider({})
        # No retries: a run does not wait for a collector to come back.
        none = {"total": 0, "connect": 0, "read": 0}
        # Without a login, which may be in it.
        address = urlsplit(settings.openlineage_url)
        shown = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        transports[shown] = HttpTransport(
            HttpConfig(settings.openlineage_url, timeout=_POST_SECONDS, auth=auth, retry=none)
        )
    return transports
