"""A relay in front of the embedded Snowflake that kills its client just before a chosen statement."""

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
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


class KillingRelay(ThreadingHTTPServer):
    """Passes requests on to `port`; a statement that matches `pattern` kills `victim` and is not passed on."""

    daemon_threads = True

    def __init__(self, port: int, pattern: str) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.upstream = port
        self.pattern = re.compile(pattern, re.IGNORECASE)
        self.victim: int | None = None
        self.killed_at: str | None = None


class _Handler(BaseHTTPRequestHandler):
    server: KillingRelay
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if urlsplit(self.path).path == "/queries/v1/query-request":
            statement = json.loads(gzip.decompress(body))["sqlText"]
            if self.server.victim and self.server.pattern.search(statement):
                os.kill(self.server.victim, signal.SIGKILL)
                self.server.killed_at = statement
                self.close_connection = True
                return
        upstream = http.client.HTTPConnection(LOOPBACK, self.server.upstream)
        upstream.request("POST", self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Encoding"):
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output to itself."""


@contextmanager
def killing_relay(port: int, pattern: str) -> Iterator[KillingRelay]:
    """A running relay; it ends with the block."""
    with KillingRelay(port, pattern) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
