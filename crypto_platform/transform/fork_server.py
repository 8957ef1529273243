"""dbt that is imported and has parsed the project, for the builds of a sandbox: each is a fork of this process.

Of a build of some hundred nodes, the imports, the project and what dbt sets up when it is first used are two fifths of
dbt's own processor time. `crypto-platform-dbt` asks here first (`carried_out`) and does without where no server
answers. On Linux alone: macOS's own libraries do not survive a fork.

Of threads a fork has the one that forked; it would wait for others of a library for ever. So the server parses where
that begins none.

A request is a line of JSON over a Unix socket, which only the user of the home can open, and the caller's output. The
answer is a line with the fork's pid, to which the caller passes its signals on once it has told so by an empty line,
and one with the exit code.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

SOCKET = "dbt.sock"
# A request and what else the caller says come at once; the first answer waits until the project is parsed.
REQUEST_SECONDS, PARSING_SECONDS = 10, 120
# What a fork has to cancel its queries, once its caller is gone.
CANCELLING_SECONDS = 10
# dbt's options that say where the project is and what is known of it.
_FOLDERS = ("--project-dir", "--profiles-dir", "--target-path", "--log-path")


@dataclass(frozen=True)
class Request:
    """A command of dbt's, where it is called, and in which Python environment."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]
    prefix: str = sys.prefix


def carried_out(folder: Path) -> int | None:
    """The exit code of this process's command of dbt, done by the server of `folder`; None where none answers."""
    request = Request(sys.argv[1:], str(Path.cwd()), dict(os.environ))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PARSING_SECONDS)
        try:
            # By its name alone, as a socket's path holds 108 bytes (unix(7)).
            with contextlib.chdir(folder):
                connection.connect(SOCKET)
            socket.send_fds(connection, [b"\n"], [1, 2])
            connection.sendall(json.dumps(asdict(request)).encode() + b"\n")
            answers = connection.makefile("r")
            pid = int(answers.readline())
        except (OSError, ValueError):
            return None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _pass_on(pid))
        with contextlib.suppress(OSError):
            connection.sendall(b"\n")
        # From here for as long as dbt takes, as of any command: who called it has the limit.
        connection.settimeout(None)
        code = answers.readline()
    if not code:
        print(f"dbt's process {pid} was ended", file=sys.stderr)
        return 1
    return int(code)


def _pass_on(pid: int) -> Callable[[int, object], None]:
    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    return pass_on


class ThreadsBegunError(RuntimeError):
    """This process has more threads than before it parsed the project: it is no more to be forked."""


def serve(folder: Path, dbt: Callable[[], None], parse: Callable[[list[str]], bool]) -> int:
    """Fork for every request, without an end; in a fork the exit code of `dbt`, which reads the command from sys.argv.

    `parse` is called before a fork, with the options that name the folders of its request, until it says that it has
    parsed the project.

    Raises:
        ThreadsBegunError: it began threads. The caller of the request does without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path(SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o077)
    listener.bind(SOCKET)
    os.umask(mask)
    listener.listen()
    # Forks that end leave nothing to be waited for: signal(7) on SIGCHLD.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    is_parsed = False
    while True:
        connection, _ = listener.accept()
        with connection, _received(connection) as (request, output):
            if request is None or request.prefix != sys.prefix:
                continue
            if not is_parsed:
                threads = _threads()
                with _called_as(request):
                    is_parsed = parse(_folders(request.arguments))
                if _threads() > threads:
                    raise ThreadsBegunError(f"{_threads()} threads in place of {threads}")
                # What is there now stays: no fork is to look through it, and copy it by that.
                gc.freeze()
            if os.fork() == 0:
                listener.close()
                return _fork(request, output, connection, dbt)


def _threads() -> int:
    """Of this process, those of libraries included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@contextlib.contextmanager
def _received(connection: socket.socket) -> Iterator[tuple[Request | None, list[int]]]:
    """What the caller asks for, None where that is no request, and its two files of output, open in this block."""
    connection.settimeout(REQUEST_SECONDS)
    request: Request | None = None
    output: list[int] = []
    try:
        try:
            _, output, _, _ = socket.recv_fds(connection, 1, 2)
            if len(output) != 2:
                raise ValueError(f"{len(output)} files in place of 2")
            with connection.makefile("r") as lines:
                request = Request(**json.loads(lines.readline()))
        except (OSError, ValueError, TypeError) as error:
            print(f"a request that is none: {error}", file=sys.stderr)
        yield request, output
    finally:
        for file in output:
            os.close(file)


def _folders(arguments: list[str]) -> list[str]:
    """The options among a command's arguments that say where the project is."""
    return [part for name, value in pairwise(arguments) if name in _FOLDERS for part in (name, value)]


@contextlib.contextmanager
def _called_as(request: Request) -> Iterator[None]:
    """The caller's directory and environment, for as long as the block takes."""
    before = dict(os.environ)
    _take(request.environment)
    try:
        with contextlib.chdir(request.directory):
            yield
    finally:
        _take(before)


def _take(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _fork(request: Request, output: list[int], connection: socket.socket, dbt: Callable[[], None]) -> int:
    """Carry the request out in this process, its caller's in all but name; returns the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.directory)
    _take(request.environment)
    print(f"{os.getpid()}: {' '.join(request.arguments)}", flush=True)
    for file, standard in zip(output, (1, 2), strict=True):
        os.dup2(file, standard)
    sys.argv[1:] = request.arguments
    connection.sendall(f"{os.getpid()}\n".encode())
    if not connection.recv(1):
        return 1
    connection.settimeout(None)
    done = threading.Event()
    threading.Thread(target=_end_with_caller, args=(connection, done), daemon=True).start()
    code = 1
    try:
        dbt()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    done.set()
    with contextlib.suppress(OSError):
        connection.sendall(f"{code}\n".encode())
    return code


def _end_with_caller(connection: socket.socket, done: threading.Event) -> None:
    """Interrupt this process when its caller is gone before it is done, and end it where that does not."""
    with contextlib.suppress(OSError):
        # The caller says nothing more: what comes is its end.
        connection.recv(1)
    if not done.is_set():
        os.kill(os.getpid(), signal.SIGINT)
        if not done.wait(CANCELLING_SECONDS):
            os._exit(1)
