"""The command line, and the life of a server that a block runs."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from crypto_platform.sandbox.alpaca import running

# Each starts the server's program, if only to be refused or told its options.
pytestmark = pytest.mark.sandbox

COMMAND = [sys.executable, "-m", "crypto_platform.sandbox.alpaca"]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)


def test_help_tells_every_option() -> None:
    told = run("--help").stdout
    for option in ("--recordings DIR", "--simulated", "--port", "--rate-limit N", "--stream-speed N", "--basic-plan"):
        assert option in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--simulated", "--port", "0", "--host", "0.0.0.0"], "--host'?: 0.0.0.0: .*loopback only"),  # noqa: S104
        (["--simulated", "--port", "0", "--host", "example.org"], "loopback only"),
        (["--recordings", "/nowhere", "--port", "0"], "--recordings'?: dir '/nowhere' does not exist"),
        (["--port", "0"], "one of --recordings and --simulated"),
        (["--simulated", "--port", "0", "--key-id", "k"], "--key-id and --secret go together"),
        (["--simulated", "--port", "0", "--stream-from", "noon"], "write it as 2026-03-01T00:00:00Z"),
        (["--simulated", "--port", "0", "--stream-speed", "0"], "--stream-speed'?: Input should be greater than"),
    ],
)
def test_wrong_options_are_refused(options: list[str], told: str) -> None:
    refused = run(*options)
    assert refused.returncode == 2
    assert re.search(told, refused.stderr)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("--simulated", "--port", port)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr


def test_a_bad_recording_is_the_error_of_who_starts_the_server(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no recording in it"), running(tmp_path):
        pass


def test_the_server_ends_with_its_block() -> None:
    with pytest.raises(KeyError), running(None, True) as url:
        assert requests.get(url, timeout=10).status_code == 200
        raise KeyError
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_the_server_ends_even_when_its_starter_is_killed() -> None:
    program = (
        "import time\nfrom crypto_platform.sandbox.alpaca import running\n"
        "with running(None, True) as url:\n    print(url, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        url = starter.stdout.readline().strip()
        servers = psutil.Process(starter.pid).children()
        assert requests.get(url, timeout=10).status_code == 200
        starter.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs(servers, timeout=20)
    assert gone
    assert not alive
