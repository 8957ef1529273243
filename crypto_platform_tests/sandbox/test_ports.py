import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from crypto_platform.sandbox import ports


def test_free_ports_are_different_and_free() -> None:
    found = ports.free_ports(5)
    assert len(set(found)) == 5
    assert all(ports.is_free(port) for port in found)


def test_chosen_ports_are_kept_from_other_processes_until_this_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file of its own and ports that count as free: other workers choose and use some meanwhile."""
    few = range(20_000, 20_040)
    choose = (
        "import sys; from crypto_platform.sandbox import ports; ports.is_free = lambda port: True\n"
        f"ports.CANDIDATES = range({few.start}, {few.stop}); print(*ports.free_ports(5), flush=True); sys.stdin.read()"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ports, "_book", cache(ports._book.__wrapped__))
    monkeypatch.setattr(ports, "is_free", lambda port: True)

    def chooser() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", choose], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def chosen(process: subprocess.Popen[str]) -> set[int]:
        assert process.stdout
        return {int(port) for port in process.stdout.readline().split()}

    monkeypatch.setattr(ports, "CANDIDATES", few)
    monkeypatch.setattr(ports, "_kept", set())
    with chooser() as first, chooser() as second:
        theirs = chosen(first), chosen(second)
        assert not theirs[0] & theirs[1]
        ours = ports.free_ports(len(few) - 10)
        assert sorted([*ours, *theirs[0], *theirs[1]]) == list(few)
        with pytest.raises(OSError, match="there are no 1 free ports from 20000 to 20039"):
            ports.free_ports(1)
        first.communicate()
        assert set(ports.free_ports(5)) == theirs[0]
        second.communicate()


def test_a_taken_port_has_an_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.owner(port).startswith(f"process {os.getpid()} (")
