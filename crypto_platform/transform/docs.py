"""dbt's documentation of the models as a site."""

import os
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from crypto_platform.settings import LOOPBACK, Settings
from crypto_platform.transform.paths import PROJECT_DIR, script


class DocsError(RuntimeError):
    """dbt could not write the site; its own output says why."""


def generate(settings: Settings) -> Path:
    """Write the site from the project and the columns that its tables have in Snowflake; returns its folder.

    Raises:
        DocsError: dbt failed.
    """
    folder = settings.crypto_platform_home / "dbt-docs"
    command = [script(), "--quiet", "docs", "generate", "--profiles-dir", ".", "--target-path", str(folder)]
    environment = {**os.environ, **settings.environment()}
    if subprocess.run(
        [*command, "--log-path", str(folder)], cwd=PROJECT_DIR, env=environment, check=False, timeout=900
    ).returncode:
        raise DocsError(f"dbt docs generate failed; its log is {folder / 'dbt.log'}")
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are of no interest."""


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of the folder on loopback, not started; port 0 lets the system choose."""
    return ThreadingHTTPServer((LOOPBACK, port), partial(_Quiet, directory=str(folder)))
