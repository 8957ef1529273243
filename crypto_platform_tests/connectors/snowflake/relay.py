"""A relay in front of the embedded Snowflake that interferes at a chosen statement."""

import gzip
import http.client
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"
Cut = Literal["before", "after", "lie", "resend", "kill"]


class CuttingRelay(ThreadingHTTPServer):
    """Passes requests on to `port` until a statement matches `pattern`.

    `before`: the statement is not passed on; `after`: it is, its answer is not; both end the session's line for
    good. `lie`: a ROLLBACK is passed on in its place, so that success is answered for what did not happen. `resend`:
    its answer is lost and the connector, which sends the request again, gets that of the second. `kill`: the process
    `victim` is killed instead; as long as there is none, nothing happens.
    """

    daemon_threads = True

    def __init__(self, port: int, pattern: str, cut: Cut) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.upstream = port
        self.pattern = re.compile(pattern, re.IGNORECASE)
        self.cut = cut
        # The statement that was interfered with, and the requestId of every one that matches.
        self.fired: list[str] = []
        self.request_ids: list[str] = []
        self.dead: set[str | None] = set()
        self.victim: int | None = None


class _Handler(BaseHTTPRequestHandler):
    server: CuttingRelay
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        session = self.headers.get("Authorization")
        if session in self.server.dead:
            self.close_connection = True
            return
        matches = urlsplit(self.path).path.startswith("/queries/") and self._is_hit(body)
        if matches and self.server.cut == "kill":
            assert self.server.victim
            os.kill(self.server.victim, signal.SIGKILL)
            self.close_connection = True
            return
        if matches and self.server.cut == "lie":
            request = json.loads(gzip.decompress(body)) | {"sqlText": "ROLLBACK", "bindings": None}
            body = gzip.compress(json.dumps(request).encode())
        elif matches:
            self.close_connection = True
            if self.server.cut != "resend":
                self.server.dead.add(session)
            if self.server.cut == "before":
                return
        answer, content = self._pass_on(body)
        if matches and self.server.cut in ("after", "resend"):
            return
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Encoding"):
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        self.do_POST()

    def _is_hit(self, body: bytes) -> bool:
        statement = json.loads(gzip.decompress(body))["sqlText"]
        if not self.server.pattern.search(statement) or (self.server.cut == "kill" and self.server.victim is None):
            return False
        self.server.request_ids += parse_qs(urlsplit(self.path).query)["requestId"]
        if self.server.fired:
            return False
        self.server.fired.append(statement)
        return True

    def _pass_on(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(LOOPBACK, self.server.upstream)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "content-length"}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer, answer.read()
        finally:
            upstream.close()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output to itself."""


@contextmanager
def cutting_relay(port: int, pattern: str, cut: Cut) -> Iterator[CuttingRelay]:
    """A running relay; it ends with the block."""
    with CuttingRelay(port, pattern, cut) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
