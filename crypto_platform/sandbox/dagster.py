"""Dagster's programs, each on its own, so that one that ends is started again and takes no other along."""

import sys
from pathlib import Path

import yaml

from crypto_platform.sandbox import ports
from crypto_platform.settings import CODE_LOCATION, LOOPBACK, Settings

_PYTHON = [sys.executable, "-m"]


def code_server(settings: Settings) -> list[str]:
    """The code location: it evaluates sensors and schedules and starts runs, as processes of its own."""
    address = ["--host", LOOPBACK, "--port", str(settings.dagster_code_port)]
    location = ["--module-name", settings.dagster_code_module, "--location-name", CODE_LOCATION]
    return [*_PYTHON, "dagster", "api", "grpc", *address, *location]


def code_server_answers(settings: Settings) -> bool:
    """Whether the code is loaded and served."""
    return ports.takes_grpc(settings.dagster_code_port)


def daemon(settings: Settings) -> list[str]:
    """Schedules, sensors, the queue, backfills, monitoring."""
    return [*_PYTHON, "dagster._daemon", "run", "--workspace", str(workspace_file(settings))]


def web_server(settings: Settings) -> list[str]:
    """The UI."""
    address = ["--host", LOOPBACK, "--port", str(settings.dagster_ui_port)]
    return [*_PYTHON, "dagster_webserver", *address, "--workspace", str(workspace_file(settings))]


def workspace_file(settings: Settings) -> Path:
    """Where the web server and the daemon are told of the code server."""
    return settings.crypto_platform_home / "sandbox" / "workspace.yaml"


def write_workspace(settings: Settings) -> None:
    """Tell them; the ports must have been chosen."""
    server = {"host": LOOPBACK, "port": settings.dagster_code_port, "location_name": CODE_LOCATION}
    workspace_file(settings).write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
