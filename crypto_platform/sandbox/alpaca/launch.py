"""Start the server for as long as a block runs."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(recordings: Path | str | None = None, simulated: bool = False, *options: str) -> Iterator[str]:
    """Run the server in a process of its own on a free port of loopback; yields its address.

    `options` are further ones of the command line, such as `"--rate-limit", "200"`. The server also ends when
    this process is killed.

    Raises:
        RuntimeError: it did not start; the message is its own, such as which recording is bad.
    """
    served = ["--simulated"] if simulated else ["--recordings", str(recordings)]
    python = [sys.executable, "-m"]
    ends_with_parent = [*python, "crypto_platform.sandbox.parent_death"]
    command = [*ends_with_parent, *python, "crypto_platform.sandbox.alpaca", "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen([*command, *served, *options], stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        assert server.stdout  # noqa: S101 - it is a pipe
        try:
            url = server.stdout.readline().strip()
            if not url:
                log.seek(0)
                raise RuntimeError(f"the Alpaca sandbox did not start: {log.read().strip()}")
            yield url
        finally:
            server.terminate()
