import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.errors import AlpacaConfigError, AlpacaError
from crypto_platform.connectors.lake import Lake
from crypto_platform.ingestion.extract import extract
from crypto_platform.sandbox.alpaca import launch
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.alpaca.conftest import KEY, SECRET, Server, crypto, settings_for, stocks

DAY = (date(2026, 3, 2), date(2026, 3, 3))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look-up and connection that is tried."""
    tried: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        tried.append(str(arguments))
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


@pytest.mark.parametrize(
    "url",
    ["http://data.alpaca.markets", "http://10.0.0.1:8080", "http://127.0.0.1.example.com", "http://[2001:db8::1]"],
)
def test_keys_never_travel_in_the_clear(no_network: list[str], url: str) -> None:
    with pytest.raises(AlpacaConfigError, match=r"plain http.*Write https://") as failed:
        AlpacaClient(settings_for(url))
    assert SECRET not in str(failed.value)
    assert KEY not in str(failed.value)
    assert no_network == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://x.test"])
def test_loopback_and_https_may_see_the_keys(url: str) -> None:
    AlpacaClient(settings_for(url)).close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"apca_api_data_url": "data.alpaca.markets"}, "an address such as https://"),
        ({"apca_api_data_url": "ftp://data.alpaca.markets"}, "an address such as https://"),
        ({"apca_api_data_url": f"https://me:{SECRET}@data.alpaca.markets"}, "leave them out"),
        ({"apca_api_key_id": None}, "set both"),
        ({"apca_api_secret_key": None}, "set both"),
    ],
)
def test_settings_that_cannot_work_are_named(no_network: list[str], changes: dict, words: str) -> None:
    with pytest.raises(AlpacaConfigError, match=words) as failed:
        AlpacaClient(settings_for(url="https://data.alpaca.markets", **changes))
    assert SECRET not in str(failed.value)
    assert no_network == []


def test_stocks_without_a_key_say_which_settings(tmp_path, no_network: list[str]) -> None:
    settings = settings_for("https://data.alpaca.markets", apca_api_key_id=None, apca_api_secret_key=None)
    with AlpacaClient(settings) as client, pytest.raises(AlpacaConfigError, match="APCA_API_SECRET_KEY"):
        extract(client, Lake(str(tmp_path)), stocks(*DAY, ("AAPL",)), "run")
    assert no_network == []


def test_crypto_needs_no_key(server: Server, tmp_path) -> None:
    settings = settings_for(server.url, apca_api_key_id=None, apca_api_secret_key=None)
    with AlpacaClient(settings) as client:
        assert extract(client, Lake(str(tmp_path)), crypto(*DAY), "run").bars == 2880


@pytest.mark.sandbox
def test_refused_keys_say_which_settings_and_not_what_they_are(tmp_path) -> None:
    with (
        launch.running(None, True, "--key-id", "another", "--secret", "one") as url,
        AlpacaClient(settings_for(url)) as client,
        pytest.raises(AlpacaConfigError, match=r"HTTP 403.*APCA_API_KEY_ID") as failed,
    ):
        extract(client, Lake(str(tmp_path)), crypto(*DAY), "run")
    assert SECRET not in str(failed.value)
    assert KEY not in str(failed.value)


class _Recorder(BaseHTTPRequestHandler):
    """Answers as the test says, and keeps the headers it was sent."""

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))  # type: ignore[attr-defined]
        status, headers, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Recorder) as server:
        server.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def failure(settings: Settings, tmp_path) -> str:
    with AlpacaClient(settings) as client, pytest.raises(AlpacaError) as failed:
        extract(client, Lake(str(tmp_path)), crypto(*DAY), "run")
    return str(failed.value)


def test_a_redirect_is_not_followed(recorder: ThreadingHTTPServer, server: Server, tmp_path) -> None:
    recorder.answer = (302, {"Location": f"{server.url}/v1beta3/crypto/us/bars"}, b"")
    said = failure(settings_for(address(recorder)), tmp_path)
    assert "redirects to" in said
    assert "set APCA_API_DATA_URL" in said
    assert len(recorder.seen) == 1


@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_an_answer_that_echoes_the_keys_is_not_repeated(
    recorder: ThreadingHTTPServer, tmp_path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    recorder.answer = (status, {}, f"<html>you sent {KEY} and {SECRET} {'x' * 5000}".encode())
    with caplog.at_level("DEBUG"):
        said = failure(settings_for(address(recorder)), tmp_path)
    assert recorder.seen[0]["APCA-API-SECRET-KEY"] == SECRET, "the server did see it"
    assert SECRET not in said + caplog.text
    assert KEY not in said + caplog.text
    assert "you sent" in said
    assert len(said) < 600


def test_a_proxy_from_the_environment_does_not_see_loopback(
    recorder: ThreadingHTTPServer, server: Server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", address(recorder))
    monkeypatch.setenv("http_proxy", address(recorder))
    with AlpacaClient(settings_for(server.url)) as client:
        assert extract(client, Lake(str(tmp_path)), crypto(*DAY), "run").bars == 2880
    assert recorder.seen == []


def test_the_sandbox_is_not_shown_the_real_keys(recorder: ThreadingHTTPServer, tmp_path) -> None:
    recorder.answer = (404, {}, b"{}")
    embedded = settings_for("", apca_api_data_url=None, sandbox_alpaca_port=recorder.server_port)
    failure(embedded, tmp_path)
    assert recorder.seen[0]["APCA-API-KEY-ID"] == recorder.seen[0]["APCA-API-SECRET-KEY"] == "sandbox"


def test_the_rate_limit_is_shared_and_kept(recorder: ThreadingHTTPServer, tmp_path) -> None:
    """After an answer that leaves no call, the next goes out only after the reset."""
    recorder.answer = (
        500,
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)},
        b"",
    )
    reset = int(recorder.answer[1]["X-RateLimit-Reset"])
    failure(settings_for(address(recorder), alpaca_max_attempts=2), tmp_path)
    assert len(recorder.seen) == 2
    assert time.time() >= reset


def test_a_page_is_as_old_as_the_question(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[datetime] = []
    get = AlpacaClient._get

    def noted(client: AlpacaClient, *arguments: Any) -> Any:
        sent.append(datetime.now(UTC))
        return get(client, *arguments)

    monkeypatch.setattr(AlpacaClient, "_get", noted)
    start = datetime(2026, 3, 2, tzinfo=UTC)
    request = crypto(start.date(), date(2026, 3, 3))
    with AlpacaClient(settings_for(server.url)) as client:
        pages = client.pages(request, request.symbols, start, start + timedelta(hours=1), Traffic(), threading.Event())
        (page,) = pages
    assert page.observed_at <= sent[0]
