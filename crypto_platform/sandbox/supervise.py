"""Start, watch and stop the sandbox's services under one supervisord a home.

``with sandbox(settings, {"kafka", "snowflake"}) as effective:`` starts what is not running yet and waits until it
answers; `effective` are the settings with the ports in force. Services that are up already are used as they are. The
last user's leaving stops everything, also when users or supervisord itself are killed (see `lease` and `leash`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from crypto_platform.sandbox import java, ports
from crypto_platform.sandbox.lease import Lease, exclusive
from crypto_platform.sandbox.services import PIPELINE, SERVICES, Service
from crypto_platform.settings import Settings

Progress = Callable[[str, str], None]
"""Told of a service and what became of it: starting, ready, already up, external."""

# sun_path holds 108 bytes (unix(7)); supervisord binds `<path>.<pid>` first.
LONGEST_SOCKET_PATH = 95
STOP_SECONDS = 30
POLL_SECONDS = 0.1
LOG_TAIL_LINES = 15


class SandboxError(RuntimeError):
    """A service did not start, or a port is taken; the message says what to do."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service: `state` is running, starting, failed, stopped or external; `since` in UTC."""

    name: str
    state: str
    pid: int | None
    address: str
    since: datetime | None


def folder(settings: Settings) -> Path:
    """Where the sandbox keeps its data, logs and state."""
    return settings.crypto_platform_home / "sandbox"


def log_file(settings: Settings, name: str) -> Path:
    return folder(settings) / "logs" / f"{name}.log"


@contextmanager
def sandbox(
    settings: Settings, services: Collection[str] = PIPELINE, progress: Progress = lambda name, event: None
) -> Iterator[Settings]:
    """Have `services` running; yield the settings with the ports in force.

    Raises:
        SandboxError: a service does not start or answer, or a port is taken.
        JavaMissing: Kafka or Spark is wanted and there is no Java 17.
        ValueError: no such service.
    """
    if unknown := set(services) - set(SERVICES):
        raise ValueError(f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    wanted = [service for service in SERVICES.values() if service.name in services]
    for service in wanted:
        if service.external(settings):
            progress(service.name, "external")
    embedded = [service for service in wanted if not service.external(settings)]
    if not embedded:
        yield settings
        return
    if {"kafka", "spark"} & {service.name for service in embedded}:
        java.check(settings)
    lease = Lease(folder(settings) / "lease")
    try:
        yield _start(settings, embedded, progress)
    finally:
        try:
            if lease.is_last():
                stop(settings)
        finally:
            lease.release()


def running(settings: Settings) -> Settings | None:
    """The settings with the running sandbox's ports, or None when none is up."""
    supervisor = _Supervisor.find(settings)
    return supervisor.effective(settings) if supervisor else None


def stop(settings: Settings) -> bool:
    """Stop the home's sandbox, whoever started it; wait until it is gone. False when none was up."""
    supervisor = _Supervisor.find(settings)
    if supervisor is None:
        return False
    supervisor.shut_down()
    return True


def restart(settings: Settings, name: str) -> None:
    """Stop one service of the running sandbox, start it again and wait until it answers.

    Raises:
        SandboxError: no sandbox is up, or the service does not start.
    """
    supervisor = _Supervisor.find(settings)
    if supervisor is None:
        raise SandboxError("the sandbox is not running: start it with `crypto-platform up`")
    effective = supervisor.effective(settings)
    if supervisor.info(name)["statename"] in ("RUNNING", "STARTING"):
        supervisor.rpc.stopProcess(name)
    supervisor.rpc.startProcess(name, False)
    _await(supervisor, effective, [SERVICES[name]], lambda name, event: None)


def status(settings: Settings) -> list[ServiceStatus]:
    """What runs, where and since when: every service, also those that are stopped or external."""
    supervisor = _Supervisor.find(settings)
    effective = supervisor.effective(settings) if supervisor else settings
    result = []
    for service in SERVICES.values():
        state, pid, since = "stopped", None, None
        if service.external(settings):
            state = "external"
        elif supervisor:
            info = supervisor.info(service.name)
            state = _STATES.get(info["statename"], "stopped")
            if state in ("running", "starting"):
                pid, since = info["pid"], datetime.fromtimestamp(info["start"], UTC)
            if state == "running" and not service.ready(effective):
                state = "starting"
        result.append(ServiceStatus(service.name, state, pid, service.address(effective), since))
    return result


# http://supervisord.org/subprocess.html#process-states
_STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "failed",
    "EXITED": "failed",
    "FATAL": "failed",
}


class _Supervisor:
    """The home's supervisord, as its state file tells of it."""

    def __init__(self, process: psutil.Process, socket: str, port_numbers: dict[str, int]) -> None:
        self.process = process
        self._socket = socket
        self._ports = port_numbers

    @property
    def rpc(self) -> Any:
        """supervisord's API, http://supervisord.org/api.html; anew each time, since a failed connection sticks."""
        # Part of the `sandbox` extra, which production does not install.
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    @classmethod
    def find(cls, settings: Settings) -> "_Supervisor | None":
        """The running one, or None. One that is on its way out is waited for first."""
        try:
            state = json.loads(_state_file(settings).read_text())
            process = psutil.Process(state["pid"])
            alive = process.create_time() == state["created"] and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return cls(process, state["socket"], state["ports"]) if alive else None

    def effective(self, settings: Settings) -> Settings:
        return settings.model_copy(update=self._ports)

    def info(self, name: str) -> dict[str, Any]:
        return self.rpc.getProcessInfo(name)

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


def _state_file(settings: Settings) -> Path:
    return folder(settings) / "state.json"


def _start(settings: Settings, services: list[Service], progress: Progress) -> Settings:
    with exclusive(folder(settings) / "start.lock"):
        supervisor = _Supervisor.find(settings) or _launch(settings)
        effective = supervisor.effective(settings)
        missing = []
        for service in services:
            if supervisor.info(service.name)["statename"] in ("RUNNING", "STARTING"):
                progress(service.name, "already up")
            else:
                missing.append(service)
        for service in missing:
            _check_ports(effective, service)
        for service in missing:
            progress(service.name, "starting")
            supervisor.rpc.startProcess(service.name, False)
        _await(supervisor, effective, services, progress)
        return effective


def _check_ports(settings: Settings, service: Service) -> None:
    for name in service.ports:
        port = getattr(settings, name)
        if not ports.is_free(port):
            raise SandboxError(
                f"port {port} of {service.name} is taken by {ports.owner(port)}: stop that, or set "
                f"{name.upper()} to another port (0: any free one)"
            )


def _await(
    supervisor: _Supervisor, settings: Settings, services: Collection[Service], progress: Progress
) -> None:
    """Wait until every service answers."""
    waiting = list(services)
    deadline = time.monotonic() + settings.sandbox_start_seconds
    while waiting:
        for service in list(waiting):
            state = supervisor.info(service.name)["statename"]
            if _STATES.get(state, "failed") == "failed":
                raise _failure(settings, service, "ended while it started")
            if service.ready(settings):
                waiting.remove(service)
                progress(service.name, "ready")
            elif time.monotonic() > deadline:
                waited = f"does not answer after {settings.sandbox_start_seconds:g} s (SANDBOX_START_SECONDS)"
                raise _failure(settings, service, waited)
        if waiting:
            time.sleep(POLL_SECONDS)


def _failure(settings: Settings, service: Service, what: str) -> SandboxError:
    file = log_file(settings, service.name)
    lines = file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if file.exists() else []
    tail = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
    return SandboxError(
        f"{service.name} {what}. The end of its log {file}:\n{tail}\n`crypto-platform doctor` checks what it needs."
    )


def _launch(settings: Settings) -> _Supervisor:
    """Start supervisord with every service configured and none started."""
    home = folder(settings)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    effective = _choose_ports(settings)
    socket = str(home / "supervisor.sock")
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        socket = str(Path(tempfile.mkdtemp(prefix="crypto-platform-")) / "supervisor.sock")
    configuration = home / "supervisord.conf"
    configuration.write_text(_configuration(effective, socket))
    output = log_file(settings, "supervisord-output")
    with output.open("w") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "supervisor.supervisord",
                "--nodaemon",
                "--configuration",
                str(configuration),
            ],
            env={**os.environ, **effective.environment()},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    port_numbers = {name: getattr(effective, name) for s in SERVICES.values() for name in s.ports}
    created = psutil.Process(process.pid).create_time()
    state = {"pid": process.pid, "created": created, "socket": socket, "ports": port_numbers}
    temporary = _state_file(settings).with_suffix(".new")
    temporary.write_text(json.dumps(state))
    temporary.replace(_state_file(settings))
    supervisor = _Supervisor(psutil.Process(process.pid), socket, port_numbers)
    deadline = time.monotonic() + settings.sandbox_start_seconds
    while True:
        try:
            supervisor.rpc.getState()
        except (OSError, xmlrpc.client.Error):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SandboxError(f"supervisord does not start: {output.read_text().strip()}") from None
            time.sleep(POLL_SECONDS)
        else:
            return supervisor


def _choose_ports(settings: Settings) -> Settings:
    """The settings with a free port for every 0."""
    names = [name for service in SERVICES.values() for name in service.ports if getattr(settings, name) == 0]
    return settings.model_copy(update=dict(zip(names, ports.free_ports(len(names)), strict=True)))


def _configuration(settings: Settings, socket: str) -> str:
    """supervisord's configuration, http://supervisord.org/configuration.html."""
    home = folder(settings)
    warden = [sys.executable, "-m", "crypto_platform.sandbox.lease", str(home / "lease")]
    sections = [
        ("unix_http_server", {"file": socket, "chmod": "0700"}),
        (
            "supervisord",
            {
                "logfile": home / "logs" / "supervisord.log",
                "logfile_maxbytes": "10MB",
                "logfile_backups": 1,
                "pidfile": home / "supervisord.pid",
                "directory": home,
                "silent": "true",
            },
        ),
        ("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": RPC_FACTORY}),
        ("program:warden", _program(settings, "warden", warden, autostart=True)),
        *(
            (f"program:{s.name}", _program(settings, s.name, s.command(settings), autostart=False))
            for s in SERVICES.values()
            if not s.external(settings)
        ),
    ]
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key}={value}".replace("%", "%%") for key, value in values.items())])
        + "\n"
        for name, values in sections
    )


RPC_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"


def _program(settings: Settings, name: str, command: list[str], autostart: bool) -> dict[str, Any]:
    return {
        "command": " ".join(_quote(part) for part in command),
        "autostart": str(autostart).lower(),
        "autorestart": "true",
        "startretries": 1,
        "stopasgroup": "true",
        "killasgroup": "true",
        "stopwaitsecs": 15,
        # Started first and stopped last: as long as it holds the lease nobody starts anew.
        "priority": 1 if autostart else 999,
        "redirect_stderr": "true",
        "stdout_logfile": log_file(settings, name),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 1,
    }


def _quote(part: str) -> str:
    import shlex

    return shlex.quote(part)
