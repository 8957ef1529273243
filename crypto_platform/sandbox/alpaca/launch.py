"""Start the server for as long as a block runs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(recordings: Path | str | None = None, simulated: bool = False, *options: str) -> Iterator[str]:
    """Run the server in a process of its own on a free port of loopback; yields its address.

    `options` are further ones of the command line, such as `"--rate-limit", "200"`. The server ends with its
    standard input, so it also stops when this process is killed.

    Raises:
        RuntimeError: it did not start; the message is its own, such as which recording is bad.
    """
    served = ["--simulated"] if simulated else ["--recordings", str(recordings)]
    command = [sys.executable, "-m", "crypto_platform.sandbox.alpaca", "--port", "0", *served, *options]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin and server.stdout and server.stderr  # noqa: S101 - all three are pipes
        try:
            url = server.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the Alpaca sandbox did not start: {server.stderr.read().strip()}")
            yield url
        finally:
            server.terminate()
