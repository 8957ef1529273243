"""What the stream service and the loader tell Prometheus, and how it is asked for: loopback only."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crypto_platform.settings import LOOPBACK

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 8, 15, 30, 60, 120, 300, 900)

# Whether all is well, and the particulars.
Health = Callable[[], tuple[bool, dict[str, Any]]]


class StreamMetrics:
    """The stream service's, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.bars = self._counter("bars", "Bars put into the spool", "feed", "source")
        self.statuses = self._counter("trading_statuses", "Trading statuses put into the spool", "feed")
        self.dropped = self._counter("dropped_bars", "Bars that found the spool full; REST gives them later", "feed")
        self.stale = self._counter("bars_after_their_update", "Bars that came after their own update", "feed")
        self.sweeps = self._counter("sweeps", "Looks by REST for what the stream missed", "feed", "outcome")
        self.connections = self._counter("connections", "Connections that were opened", "feed")
        self.reconnects = self._counter("reconnects", "Connections that ended", "feed", "reason")
        self.refused = self._counter("refused_messages", "Messages that Kafka refuses for good", "feed")
        self.connected = self._gauge("connected", "Whether the stream is connected", "feed")
        self.silence = self._gauge("silence_seconds", "Since the last bar came", "feed")
        self.last_bar = self._gauge(
            "last_bar_start_seconds", "Start of the newest bar, epoch seconds", "feed", "symbol"
        )
        self.halted_since = self._gauge(
            "halted_since_seconds", "Since when a symbol is halted, epoch seconds; 0 while it trades", "feed", "symbol"
        )
        self.spooled = self._gauge("spool_messages", "Messages on disk that Kafka has not confirmed")
        self.spooled_bytes = self._gauge("spool_bytes", "Their size")
        self.vendor_lag = self._histogram("vendor_lag_seconds", "From a bar's end to its frame", "feed")
        self.publish_lag = self._histogram("publish_lag_seconds", "From the frame to Kafka's confirmation", "feed")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"crypto_platform_stream_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"crypto_platform_stream_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"crypto_platform_stream_{name}", text, labels, registry=self.registry, buckets=_SECONDS)


class LoaderMetrics:
    """The loader's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        topic = ["feed", "dataset"]
        self.messages = Counter(
            "crypto_platform_loader_messages", "Messages loaded", [*topic, "outcome"], registry=self.registry
        )
        self.loads = Counter("crypto_platform_loader_loads", "Loads", [*topic, "outcome"], registry=self.registry)
        self.lag = Gauge(
            "crypto_platform_loader_lag_messages", "On the topic and not in RAW", topic, registry=self.registry
        )
        self.seconds = Histogram(
            "crypto_platform_loader_load_seconds", "One load", [*topic, "hop"], registry=self.registry, buckets=_SECONDS
        )


@contextmanager
def serving(port: int, registry: CollectorRegistry, health: Health, host: str = LOOPBACK) -> Iterator[int]:
    """`/metrics`, `/health` (503 when something is wrong) and `/live` (the process answers) while the block runs.

    Yields the port, which is a free one for 0.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/live":
                self._answer(200, "text/plain", b"ok\n")
            elif self.path == "/health":
                well, particulars = health()
                body = orjson.dumps({"ok": well, **particulars}, option=orjson.OPT_INDENT_2)
                self._answer(200 if well else 503, "application/json", body)
            else:
                self._answer(404, "text/plain", b"there are /metrics, /health and /live\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
