"""dbt's documentation of the models as a site: `crypto-platform docs`."""

import os
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer

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


def docs(
    port: Annotated[int, typer.Option(help="Where to serve it, on loopback; 0 lets the system choose.")] = 8085,
) -> None:
    """Write and serve dbt's documentation of the models, with their lineage and columns, until Ctrl-C.

    The embedded Snowflake is started for it when it is not up. Columns are those of tables that were built.

    Example: crypto-platform docs
    """
    from rich.console import Console

    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    console = Console()
    try:
        with supervise.sandbox(settings(), {"snowflake"}, display.starting(console)) as effective:
            folder = generate(effective)
        with serve(folder, port) as server:
            console.print(f"Models: http://{LOOPBACK}:{server.server_port}   Ctrl-C stops it.", highlight=False)
            server.serve_forever()
    except DocsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{LOOPBACK}:{port} cannot be served: {error.strerror}; choose another with --port", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
