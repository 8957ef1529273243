"""A command that a fork of the server carries out is the caller's own: arguments, output, signals, exit code."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from crypto_platform.transform import fork_server
from crypto_platform.transform.paths import PARTIAL_PARSE, PROJECT_DIR, script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no server is started there")

SECONDS = 30
# What the server does for dbt: it says what it sees, and ends as the first argument says.
SERVER = """
import os, sys, threading, time
from pathlib import Path
from crypto_platform.transform import fork_server

def dbt():
    ending, *others = sys.argv[1:]
    print(others, os.getcwd(), os.environ.get("ONLY_THE_CALLERS"), flush=True)
    print("beside", file=sys.stderr, flush=True)
    if ending == "raise":
        raise ValueError("as it is")
    try:
        while ending == "wait":
            time.sleep(0.01)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        ending = 3
    sys.exit(int(ending))

def parse(folders):
    print("parsed", folders, os.getcwd(), os.environ.get("ONLY_THE_CALLERS"), flush=True)
    if folders[-1:] == ["threads"]:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return folders[-1:] != ["later"]

sys.exit(fork_server.serve(Path(sys.argv[1]), dbt, parse))
"""
CALLER = """
import sys
from pathlib import Path
from crypto_platform.transform import fork_server

code = fork_server.carried_out(Path(sys.argv.pop(1)))
sys.exit("no server" if code is None else code)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a server: longer than a socket's path may be."""
    return tmp_path / ("long" * 30)


@pytest.fixture
def server(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            until((folder / fork_server.SOCKET).exists)
            yield process
        finally:
            process.kill()


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def call(folder: Path, *arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CALLER, str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def waiting(folder: Path, server: subprocess.Popen[str]) -> Iterator[tuple["subprocess.Popen[str]", psutil.Process]]:
    """A caller, and the fork that carries out a command of its without an end."""
    command = [sys.executable, "-c", CALLER, str(folder), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        assert caller.stdout.readline().startswith("[]")
        (fork,) = psutil.Process(server.pid).children()
        try:
            yield caller, fork
        finally:
            caller.kill()


@pytest.mark.usefixtures("server")
def test_a_command_is_carried_out_as_the_callers(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "ONLY_THE_CALLERS": "yes"}
    done = call(folder, "7", "build", "--select", "a b", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (
        7,
        f"['build', '--select', 'a b'] {tmp_path} yes\n",
        "beside\n",
    )
    assert call(folder, "0").returncode == 0


@pytest.mark.usefixtures("server")
def test_an_error_is_said_to_the_caller(folder: Path) -> None:
    done = call(folder, "raise")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: as it is\n")


def test_the_project_is_parsed_once_as_the_first_caller_has_it(
    folder: Path, tmp_path: Path, server: subprocess.Popen[str]
) -> None:
    environment = {**os.environ, "ONLY_THE_CALLERS": "yes"}
    options = ["--select", "a", "--project-dir", "p", "--target-path", "t"]
    assert call(folder, "0", "--target-path", "later").returncode == 0
    for _ in range(2):
        assert call(folder, "0", *options, cwd=tmp_path, env=environment).returncode == 0
    server.kill()
    assert server.stdout
    first, _, *others = server.stdout.read().splitlines()
    assert first.startswith("parsed ['--target-path', 'later']")
    assert others[0] == f"parsed {options[2:]} {tmp_path} yes"
    assert [line.partition(": ")[2] for line in others[1:]] == [" ".join(["0", *options])] * 2


def test_a_process_with_threads_is_not_forked(folder: Path, server: subprocess.Popen[str]) -> None:
    assert call(folder, "0", "--target-path", "threads").stderr == "no server\n"
    assert server.wait(SECONDS) == 1


def test_an_interrupted_caller_interrupts(waiting: tuple["subprocess.Popen[str]", psutil.Process]) -> None:
    caller, _ = waiting
    caller.send_signal(signal.SIGINT)
    output, _ = caller.communicate(timeout=SECONDS)
    assert (output, caller.returncode) == ("interrupted\n", 3)


def test_a_fork_ends_with_its_caller(waiting: tuple["subprocess.Popen[str]", psutil.Process]) -> None:
    caller, fork = waiting
    caller.kill()
    fork.wait(SECONDS)


def test_a_killed_fork_is_told(waiting: tuple["subprocess.Popen[str]", psutil.Process]) -> None:
    caller, fork = waiting
    fork.kill()
    _, errors = caller.communicate(timeout=SECONDS)
    assert caller.returncode == 1
    assert errors.endswith(f"dbt's process {fork.pid} was ended\n")


def test_what_is_no_request_leaves_the_server_as_it_was(
    folder: Path, server: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    files = psutil.Process(server.pid).num_fds()
    for sent in (b"\n", b"\nno JSON\n", b'\n{"arguments": []}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(fork_server.SOCKET)
            socket.send_fds(connection, [sent[:1]], [1, 2])
            connection.sendall(sent[1:])
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
    assert call(folder, "0").returncode == 0
    until(lambda: psutil.Process(server.pid).num_fds() == files)


@pytest.mark.usefixtures("server")
def test_another_python_environment_is_left_to_itself(folder: Path) -> None:
    program = CALLER.replace("code =", "fork_server.Request.__init__.__defaults__ = ('elsewhere',); code =")
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), "0"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stderr == "no server\n"


def test_without_a_server_nothing_is_carried_out(folder: Path, server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait(SECONDS)
    assert (folder / fork_server.SOCKET).exists()
    assert call(folder, "0").stderr == "no server\n"
    assert call(folder / "missing", "0").stderr == "no server\n"


@pytest.mark.usefixtures("server")
def test_no_one_else_may_ask(folder: Path) -> None:
    assert stat.S_IMODE((folder / fork_server.SOCKET).stat().st_mode) == 0o700


@pytest.mark.sandbox
def test_dbt_of_the_sandbox_is_a_fork_and_says_the_same(sandbox: Settings, tmp_path: Path) -> None:
    """Whether it parses all of the project, what has changed of it, or all again after the server has parsed it."""
    options = ["--quiet", "list", "--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR]
    command = [script(), *map(str, options), "--log-path", str(tmp_path), "--target-path"]
    environment = {**os.environ, **sandbox.environment()}

    def listed(home: Path) -> str:
        more = {"CRYPTO_PLATFORM_HOME": str(home)}
        done = subprocess.run(
            [*command, str(tmp_path / home.name)],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    plain = listed(tmp_path / "without")
    target, log = tmp_path / sandbox.crypto_platform_home.name, supervise.log_file(sandbox, "dbt-server")
    before = log.read_text().count(": --quiet list")
    for parsed in (False, True, False):
        if not parsed:
            (target / PARTIAL_PARSE).unlink(missing_ok=True)
        assert listed(sandbox.crypto_platform_home) == plain
    assert log.read_text().count(": --quiet list") == before + 3
