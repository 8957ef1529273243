"""Services that refuse: an S3 that is full, overloaded or of another time, and a Snowflake that refuses the key.

What answers here is a fake, a few lines of HTTP on loopback; the clients are the real ones, s3fs and the connector.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import s3fs
from snowflake.connector.errors import DatabaseError

from crypto_platform.connectors.lake import Lake, LakeUnavailableError, Section
from crypto_platform.connectors.snowflake import connection, service_keys
from crypto_platform.settings import Settings

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DAY = date(2026, 3, 1)
OBSERVED = datetime(2026, 3, 2, tzinfo=UTC)


class FakeS3(ThreadingHTTPServer):
    """Keeps objects by their path; with `refuses` it answers everything so: a status, a code and a message."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeS3Handler)
        self.objects: dict[str, bytes] = {}
        self.refuses: tuple[int, str, str] | None = None


class FakeS3Handler(BaseHTTPRequestHandler):
    server: FakeS3
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuses:
            status, code, message = self.server.refuses
            self._answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())
        elif self.command == "PUT":
            self.server.objects[path] = body
            self._answer(200)
        elif path in self.server.objects:
            self._answer(200, self.server.objects[path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")

    do_GET = do_PUT = do_HEAD = _handle  # noqa: N815 - http.server's names


@contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    server = FakeS3()
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # s3fs tries again five times, a second and a half in all.
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with served(server):
        yield server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        ((507, "InsufficientStorage", "No space left"), "see that it answers and has room"),
        ((503, "SlowDown", "Please reduce your request rate."), "see that it answers"),
        (
            (403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
            "timedatectl set-ntp true",
        ),
        (
            (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
            "see the rights of its key",
        ),
    ],
)
def test_a_store_that_refuses_is_one_sentence_and_loses_nothing(
    s3: FakeS3, refuses: tuple[int, str, str], says: str
) -> None:
    lake = Lake("s3://my-bars/lake")
    old, new = ({"BTC/USD": Section(OBSERVED, [line])} for line in (b"old", b"new"))
    lake.write_day("crypto", "1Min", DAY, old, "run")
    kept = dict(s3.objects)
    assert kept

    s3.refuses = refuses
    for attempt in (
        lambda: lake.write_day("crypto", "1Min", DAY, new, "run"),
        lambda: lake.read_day("crypto", "1Min", DAY),
        lambda: lake.counts("crypto", "1Min", DAY),
    ):
        with pytest.raises(LakeUnavailableError, match=says) as error:
            attempt()
        said = str(error.value)
        assert said.startswith("LAKE_URL s3://my-bars/lake fails for my-bars/lake/crypto/1Min/2026-03-01.jsonl.zst (")
        assert "nothing there was changed" in said and "\n" not in said
        assert SECRET not in said and SECRET not in repr(error.value.__cause__)

    s3.refuses = None
    assert s3.objects == kept
    assert lake.read_day("crypto", "1Min", DAY).sections == old
    lake.write_day("crypto", "1Min", DAY, new, "again")
    assert lake.read_day("crypto", "1Min", DAY).sections == new


def test_a_store_that_refuses_is_not_taken_for_an_empty_lake(s3: FakeS3) -> None:
    s3.refuses = (503, "SlowDown", "Please reduce your request rate.")
    with pytest.raises(LakeUnavailableError):
        Lake("s3://my-bars/lake").days("crypto", "1Min")
    with pytest.raises(LakeUnavailableError):
        Lake("s3://my-bars/lake").universe_days("us_equity")


class FakeSnowflakeHandler(BaseHTTPRequestHandler):
    """Answers a login as Snowflake does when the token of a key pair is not of its time."""

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refused = {"success": False, "code": "390144", "message": "JWT token is invalid. [6d1e]", "data": {}}
        body = json.dumps(refused).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_clock_that_is_off_by_an_hour_is_named_when_snowflake_refuses_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting"""
    service_keys.generate(tmp_path / "keys", ["SVC_LOADER"])
    key = tmp_path / "keys" / "svc_loader.p8"
    settings = Settings(
        snowflake_account="org-account",
        snowflake_user="SVC_LOADER",
        snowflake_private_key_file=key,
        snowflake_network_timeout=5,
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeSnowflakeHandler)
    arguments = connection.connection_args

    def on_loopback(*given: Any) -> dict[str, Any]:
        here = {"host": "127.0.0.1", "port": server.server_port, "protocol": "http"}
        return arguments(*given) | here | {"platform_detection_timeout_seconds": 0}

    monkeypatch.setattr(connection, "connection_args", on_loopback)
    with served(server), pytest.raises(DatabaseError) as error, connection.connect(settings):
        pass
    said = str(error.value)
    assert re.search(r"JWT token is invalid.*key of SVC_LOADER.*SNOWFLAKE_PRIVATE_KEY_FILE.*timedatectl", said)
    assert not any(line in said for line in key.read_text().splitlines()[1:-1])
