"""The one supervisord of a home: its configuration, its state file, its API. http://supervisord.org"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.sandbox import dagster, ports
from crypto_platform.sandbox.services import SERVICES, Service, alpaca_source
from crypto_platform.settings import Settings

# sun_path holds 108 bytes (unix(7)); supervisord binds `<path>.<pid>` first.
LONGEST_SOCKET_PATH = 95
REAPER_STOP_SECONDS = 15
# Supervisord ends when the slowest of its programs has, and the reaper after it.
STOP_SECONDS = REAPER_STOP_SECONDS + max(service.stop_seconds for service in SERVICES.values())
POLL_SECONDS = 0.1


class SandboxError(RuntimeError):
    """The sandbox, or a service of it, does not start; the message says what to do."""


def folder(settings: Settings) -> Path:
    """Where the sandbox keeps its data, logs and state."""
    return settings.crypto_platform_home / "sandbox"


def lease_file(settings: Settings) -> Path:
    return folder(settings) / "lease"


def log_file(settings: Settings, name: str) -> Path:
    return folder(settings) / "logs" / f"{name}.log"


@dataclass(frozen=True)
class State:
    """What other processes of the home need to know; `created` (s since 1970) tells a reused pid."""

    pid: int
    created: float
    socket: str
    ports: dict[str, int]
    alpaca_source: list[str]

    def save(self, file: Path) -> None:
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)


class Supervisord:
    """A running supervisord."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.process = psutil.Process(state.pid)

    @classmethod
    def find(cls, settings: Settings) -> "Supervisord | None":
        """The home's, or None when none runs."""
        try:
            state = State(**json.loads(_state_file(settings).read_text()))
            found = cls(state)
            same = found.process.create_time() == state.created
            return found if same and found.process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, NotADirectoryError, psutil.NoSuchProcess):
            return None
        except (ValueError, TypeError) as error:
            file = _state_file(settings)
            raise SandboxError(f"{file} is not of this version ({error}): remove it") from None

    @property
    def rpc(self) -> Any:
        """Its API, http://supervisord.org/api.html; anew each time, because a failed connection sticks."""
        # Part of the `sandbox` extra, which production does not install.
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.state.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def effective(self, settings: Settings) -> Settings:
        """The settings with the ports in force."""
        return settings.model_copy(update={**self.state.ports, "dagster_home": dagster_home(settings)})

    def info(self, service: Service) -> dict[str, Any]:
        """`getProcessInfo` of its API."""
        return self.rpc.getProcessInfo(service.program)

    def is_up(self, service: Service) -> bool:
        return self.info(service)["statename"] in ("RUNNING", "STARTING")

    def start(self, service: Service) -> None:
        """Start it, without waiting until it answers."""
        self.rpc.startProcess(service.program, False)

    def shut_down(self) -> None:
        """Have supervisord stop its programs and end; wait for that, and kill what does not."""
        family = [self.process, *self.process.children(recursive=True)]
        try:
            self.process.terminate()
            psutil.wait_procs(family, timeout=STOP_SECONDS)
        finally:
            for process in family:
                if process.is_running():
                    process.kill()
            psutil.wait_procs(family, timeout=STOP_SECONDS)


def launch(settings: Settings) -> Supervisord:
    """Start the home's supervisord, with every service configured and none started.

    Raises:
        SandboxError: it does not start.
    """
    home = folder(settings)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    chosen = _choose_ports(settings)
    socket = str(home / "supervisor.sock")
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        socket = str(Path(tempfile.mkdtemp(prefix="crypto-platform-")) / "supervisor.sock")
    configuration = home / "supervisord.conf"
    configuration.write_text(_configuration(chosen, socket))
    dagster.write_workspace(chosen)
    environment = {
        **os.environ,
        **chosen.environment(),
        "DAGSTER_HOME": str(dagster_home(settings)),
        # Dagster starts `dbt` by its name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    output = log_file(settings, "supervisord-output")
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)]
    with output.open("w") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A Ctrl-C in the terminal is for its user alone.
            start_new_session=True,
        )
    state = State(
        pid=process.pid,
        created=psutil.Process(process.pid).create_time(),
        socket=socket,
        ports={name: getattr(chosen, name) for service in SERVICES.values() for name in service.ports},
        alpaca_source=alpaca_source(settings),
    )
    state.save(_state_file(settings))
    supervisord = Supervisord(state)
    deadline = time.monotonic() + settings.sandbox_startup_timeout_seconds
    while True:
        try:
            supervisord.rpc.getState()
        except (OSError, xmlrpc.client.Error):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SandboxError(f"supervisord does not start: {output.read_text().strip()}") from None
            time.sleep(POLL_SECONDS)
        else:
            return supervisord


def _state_file(settings: Settings) -> Path:
    return folder(settings) / "state.json"


def _choose_ports(settings: Settings) -> Settings:
    """The settings with a free port for every 0."""
    names = [name for service in SERVICES.values() for name in service.ports if getattr(settings, name) == 0]
    return settings.model_copy(update=dict(zip(names, ports.free_ports(len(names)), strict=True)))


def _configuration(settings: Settings, socket: str) -> str:
    """supervisord.conf, http://supervisord.org/configuration.html."""
    home = folder(settings)
    reaper = [sys.executable, "-m", "crypto_platform.sandbox.lease", str(lease_file(settings))]
    groups: dict[str, list[str]] = {}
    for service in SERVICES.values():
        groups.setdefault(service.group, []).append(service.name)
    sections: dict[str, dict[str, Any]] = {
        "unix_http_server": {"file": socket, "chmod": "0700"},
        "supervisord": {
            "logfile": home / "logs" / "supervisord.log",
            "logfile_maxbytes": "10MB",
            "logfile_backups": 1,
            "pidfile": home / "supervisord.pid",
            "directory": home,
            "silent": "true",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        # Started first and stopped last: as long as it holds the lease nobody starts anew.
        "program:reaper": _program(settings, "reaper", reaper, REAPER_STOP_SECONDS)
        | {"autostart": "true", "priority": 1},
        # In order of their start; they stop the other way round, so that no run outlives what it works with.
        **{
            f"group:{group}": {"programs": ",".join(names), "priority": 10 + number}
            for number, (group, names) in enumerate(groups.items())
        },
        **{
            f"program:{s.name}": _program(settings, s.name, s.command(settings), s.stop_seconds)
            for s in SERVICES.values()
        },
    }
    return "\n".join(
        "\n".join([f"[{title}]", *(f"{name}={value}" for name, value in values.items()), ""])
        for title, values in sections.items()
    ).replace("%", "%%")


def _program(settings: Settings, name: str, command: list[str], stop_seconds: int) -> dict[str, Any]:
    return {
        "command": shlex.join(command),
        "autostart": "false",
        "autorestart": "true",
        "startretries": 1,
        "stopasgroup": "true",
        "killasgroup": "true",
        "stopwaitsecs": stop_seconds,
        "redirect_stderr": "true",
        "stdout_logfile": log_file(settings, name),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 1,
    }
