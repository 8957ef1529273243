"""Takes the alerts of the drill: a webhook on loopback that notes when each came."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from crypto_platform.settings import LOOPBACK


@dataclass(frozen=True)
class Received:
    """One alert or recovery: when it came (seconds since 1970), its fields, and the message as a person sees it."""

    at: float
    event: str
    alert: dict[str, Any]
    text: str


class Receiver:
    """Listens for as long as its block."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver._take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing beside the drill's own lines."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, fingerprint: str, events: tuple[str, ...], after: float, seconds: float) -> Received | None:
        """The first of these events since `after` about a fingerprint that begins so; None when it does not come."""
        deadline = time.monotonic() + seconds
        with self._came:
            while True:
                for one in self.received:
                    if one.at >= after and one.event in events and one.alert["fingerprint"].startswith(fingerprint):
                        return one
                if not self._came.wait(max(0.0, deadline - time.monotonic())) or time.monotonic() > deadline:
                    return None

    def _take(self, body: dict[str, Any]) -> None:
        now = time.time()
        with self._came:
            self.received += [Received(now, alert["event"], alert, body["text"]) for alert in body["alerts"]]
            self._came.notify_all()
