"""Start, watch and stop the sandbox's services under one supervisord a home.

``with sandbox(settings, {"kafka", "snowflake"}) as effective:`` starts what is not up yet and waits until it
answers; `effective` are the settings with the ports in force. What is up already is used as it is. The last user's
leaving stops everything, also when users or supervisord itself are killed (see `lease` and `parent_death`).
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crypto_platform.sandbox import jars, java, ports
from crypto_platform.sandbox.lease import Lease, exclusive
from crypto_platform.sandbox.services import PIPELINE, SERVICES, Service, alpaca_source
from crypto_platform.sandbox.supervisord import (
    POLL_SECONDS,
    SandboxError,
    Supervisord,
    folder,
    launch,
    lease_file,
    log_file,
)
from crypto_platform.settings import Settings

Progress = Callable[[str, str], None]
"""Told of a service and what became of it: starting, ready, already up, external."""

LOG_TAIL_LINES = 15
NEEDS_JAVA = {"kafka", "spark"}

# http://supervisord.org/subprocess.html#process-states
_STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "BACKOFF": "failed",
    "EXITED": "failed",
    "FATAL": "failed",
    "UNKNOWN": "failed",
}


@dataclass(frozen=True)
class ServiceStatus:
    """One service: `state` is running, starting, stopping, stopped, failed or external; `since` in UTC."""

    name: str
    state: str
    pid: int | None
    address: str
    since: datetime | None


def _silent(name: str, event: str) -> None:
    """No progress."""


@contextmanager
def sandbox(
    settings: Settings, services: Collection[str] = PIPELINE, progress: Progress = _silent
) -> Iterator[Settings]:
    """Have `services` up; yield the settings with the ports in force.

    A service whose system has an address in the settings is external and not started.

    Raises:
        SandboxError: a service does not start or answer, or a port is taken.
        JavaError, JarsError: Kafka or Spark is wanted and there is no Java that runs them, or are no jars of theirs.
        ValueError: no such service.
    """
    if unknown := set(services) - set(SERVICES):
        raise ValueError(f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    embedded = []
    for service in (SERVICES[name] for name in SERVICES if name in services):
        if service.external(settings):
            progress(service.name, "external")
        else:
            embedded.append(service)
    if not embedded:
        yield settings
        return
    lease = Lease(lease_file(settings))
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
    supervisord = Supervisord.find(settings)
    return supervisord.effective(settings) if supervisord else None


def stop(settings: Settings) -> bool:
    """Stop the home's sandbox, whoever uses it; wait until it is gone. False when none was up."""
    supervisord = Supervisord.find(settings)
    if supervisord is None:
        return False
    supervisord.shut_down()
    return True


def wait_until_stopped(settings: Settings) -> None:
    """Return when the home's sandbox has been stopped, by whomever."""
    if supervisord := Supervisord.find(settings):
        supervisord.process.wait()


def restart(settings: Settings, name: str) -> None:
    """Stop one service of the running sandbox, start it again and wait until it answers.

    Raises:
        SandboxError: no sandbox is up, or the service does not start.
        ValueError: no such service.
    """
    if name not in SERVICES:
        raise ValueError(f"no such service: {name}; there are {', '.join(SERVICES)}")
    service, supervisord = SERVICES[name], Supervisord.find(settings)
    if supervisord is None:
        raise SandboxError("the sandbox is not running: start it with `crypto-platform up`")
    _order(settings, name).parent.mkdir(exist_ok=True)
    _order(settings, name).touch()
    if supervisord.is_up(service):
        supervisord.rpc.stopProcess(service.program)
    supervisord.start(service)
    _await(supervisord, supervisord.effective(settings), [service], _silent)


def processes(settings: Settings) -> dict[str, tuple[int, int]]:
    """Of every program of the running sandbox that has a process: its pid, and its start in seconds since 1970."""
    supervisord = Supervisord.find(settings)
    found = supervisord.rpc.getAllProcessInfo() if supervisord else []
    return {one["name"]: (one["pid"], one["start"]) for one in found if one["pid"] and one["name"] in SERVICES}


def restart_ordered(settings: Settings, name: str) -> float:
    """When `restart` was last asked for the service, in seconds since 1970; 0 for never."""
    mark = _order(settings, name)
    return mark.stat().st_mtime if mark.exists() else 0.0


def _order(settings: Settings, name: str) -> Path:
    return folder(settings) / "restarts" / name


def status(settings: Settings) -> list[ServiceStatus]:
    """What runs, where and since when: every service, also those that are stopped or external."""
    supervisord = Supervisord.find(settings)
    return [_status(settings, supervisord, service) for service in SERVICES.values()]


def _status(settings: Settings, supervisord: Supervisord | None, service: Service) -> ServiceStatus:
    if service.external(settings):
        return ServiceStatus(service.name, "external", None, service.address(settings), None)
    if supervisord is None:
        return ServiceStatus(service.name, "stopped", None, service.address(settings), None)
    info, effective = supervisord.info(service), supervisord.effective(settings)
    state, pid, since = _STATES[info["statename"]], None, None
    if state in ("running", "starting"):
        pid, since = info["pid"], datetime.fromtimestamp(info["start"], UTC)
        state = "running" if service.ready(effective) else "starting"
    return ServiceStatus(service.name, state, pid, service.address(effective), since)


def _start(settings: Settings, services: list[Service], progress: Progress) -> Settings:
    with exclusive(folder(settings) / "start.lock"):
        supervisord = Supervisord.find(settings) or launch(settings)
        effective = supervisord.effective(settings)
        missing = []
        for service in services:
            if supervisord.is_up(service):
                progress(service.name, "already up")
            else:
                missing.append(service)
        if NEEDS_JAVA & {service.name for service in missing}:
            java.check(settings)
            jars.check(settings)
        _check_alpaca(supervisord, settings, services)
        for service in missing:
            _check_ports(effective, service)
        # What needs another is started when that answers.
        answering: set[str] = set()

        def wait(names: Collection[str]) -> None:
            _await(supervisord, effective, [SERVICES[n] for n in names if n not in answering], progress)
            answering.update(names)

        for service in sorted(missing, key=lambda s: bool(s.needs)):
            wait(service.needs)
            progress(service.name, "starting")
            supervisord.start(service)
        wait([service.name for service in services])
        return effective


def _check_alpaca(supervisord: Supervisord, settings: Settings, services: list[Service]) -> None:
    """What the Alpaca sandbox serves is fixed when the sandbox starts."""
    served, wanted = supervisord.state.alpaca_source, alpaca_source(settings)
    if SERVICES["alpaca"] in services and served != wanted:
        raise SandboxError(
            f"the sandbox that is up serves `{' '.join(served)}`, not `{' '.join(wanted)}`: stop it with "
            "`crypto-platform down` first"
        )


def _check_ports(settings: Settings, service: Service) -> None:
    for name in service.ports:
        port = getattr(settings, name)
        if not ports.is_free(port):
            raise SandboxError(
                f"port {port} of {service.name} is taken by {ports.owner(port)}: stop that, or set "
                f"{name.upper()} to another port (0: any free one)"
            )


def _await(supervisord: Supervisord, settings: Settings, services: Collection[Service], progress: Progress) -> None:
    """Wait until every service answers."""
    waiting = list(services)
    deadline = time.monotonic() + settings.sandbox_startup_timeout_seconds
    while waiting:
        for service in list(waiting):
            if not supervisord.is_up(service):
                raise _failure(settings, service, "ended while it started")
            if service.ready(settings):
                waiting.remove(service)
                progress(service.name, "ready")
            elif time.monotonic() > deadline:
                limit = settings.sandbox_startup_timeout_seconds
                waited = f"does not answer after {limit:g} s (SANDBOX_STARTUP_TIMEOUT_SECONDS)"
                raise _failure(settings, service, waited)
        if waiting:
            time.sleep(POLL_SECONDS)


def _failure(settings: Settings, service: Service, what: str) -> SandboxError:
    file = log_file(settings, service.name)
    lines = file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if file.exists() else []
    tail = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
    return SandboxError(
        f"{service.name} {what}. The end of its log, {file}:\n{tail}\n`crypto-platform doctor` checks what it needs."
    )
