"""An embedded default of the bench's own: a fresh home in a temporary folder, free ports, warm."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_platform.sandbox import supervise
from crypto_platform.settings import PROJECT_ROOT, Settings

PORTS = ("alpaca", "kafka", "kafka_controller", "spark", "snowflake")


class BenchError(RuntimeError):
    """What was to be measured failed; the message is its own output."""


@contextmanager
def systems(
    tell: Callable[[str], None], simulated: bool, record: Callable[[Path], None] | None = None
) -> Iterator[Settings]:
    """The sandbox, up, with simulated or recorded bars, those that `record` writes; the settings with its addresses.

    It and its data are gone afterwards.
    """
    project = Settings()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as home:
        recordings = Path(home) / "recordings"
        if record:
            record(recordings)
        own = Settings(
            crypto_platform_home=Path(home),
            jvm_jars=project.jars,
            java_home=project.java_home,
            superset_venv=project.superset_venv,
            superset_port=0,
            sandbox_snowflake_memory=project.sandbox_snowflake_memory,
            sandbox_simulated=simulated,
            sandbox_recordings=recordings if record else project.sandbox_recordings,
            **{f"sandbox_{name}_port": 0 for name in PORTS},
        )
        with supervise.sandbox(own, progress=lambda name, event: tell(f"{name}: {event}")) as effective:
            yield effective


def processes(settings: Settings) -> dict[str, int]:
    """The sandbox's programs and their pids."""
    return {found.name: found.pid for found in supervise.status(settings) if found.pid is not None}


def start(settings: Settings, command: list[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a command of this environment with these settings, what it prints in `output`."""
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, **settings.environment()},
            cwd=PROJECT_ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen[bytes], output: Path) -> str:
    """Wait for it and return what it printed.

    Raises:
        BenchError: it failed.
    """
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        raise
    printed = output.read_text(errors="replace")
    if code:
        raise BenchError(f"{' '.join(map(str, process.args))} ended with {code}:\n{printed[-4000:]}")  # type: ignore[arg-type]
    return printed


def script(name: str) -> str:
    """A command that the project's environment installs."""
    return str(Path(sys.executable).parent / name)
