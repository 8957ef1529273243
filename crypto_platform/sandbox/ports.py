"""Loopback ports: free ones, and who holds a taken one."""

import fcntl
import os
import secrets
import socket
import tempfile
from functools import cache
from pathlib import Path

import psutil

from crypto_platform.settings import LOOPBACK

# Below those that the kernel gives to connections and to whoever asks for any port (ip_local_port_range of ip(7)).
CANDIDATES = range(20_000, 32_768)
_kept: set[int] = set()


def free_ports(count: int) -> list[int]:
    """`count` different loopback ports that nobody listens on, given to no other caller until this process ends.

    Programs of a sandbox may start long after its ports were chosen.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    for port in secrets.SystemRandom().sample(CANDIDATES, len(CANDIDATES)):
        if len(found) == count:
            break
        if port not in _kept and is_free(port) and _keep(port):
            _kept.add(port)
            found.append(port)
    if len(found) < count:
        raise OSError(f"there are no {count} free ports from {CANDIDATES.start} to {CANDIDATES.stop - 1}")
    return found


def _keep(port: int) -> bool:
    """Whether this process keeps the port now, and no other one of this user: it locks the port's byte of a file."""
    try:
        fcntl.lockf(_book(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


@cache
def _book() -> int:
    """The file, never closed: closing it would end the locks."""
    path = Path(tempfile.gettempdir()) / f"crypto-platform-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether a server on loopback takes a connection within a second."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def owner(port: int) -> str:
    """Who listens on the port, as `process 123 (nginx -g …)`, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command[:120]})"
    except psutil.Error:
        pass
    return "another user's process"


def takes_grpc(port: int) -> bool:
    """Whether a gRPC server on loopback takes a connection within a second."""
    import grpc

    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1)
        except grpc.FutureTimeoutError:
            return False
    return True
