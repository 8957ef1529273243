"""The programs of the rehearsal: started, waited for, killed and started again; none outlives it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

POLL_SECONDS = 0.2
START_SECONDS = 180.0
# Brokers that are stopped together wait for one another's quorum.
STOP_SECONDS = 10.0
_LOG_LINES = 20

Tell = Callable[[str], None]


class PartError(RuntimeError):
    """A part ended, or did not answer in time; the message has the end of its log."""


@dataclass(frozen=True)
class Part:
    """One program. `ready` tells at once whether it answers; `environment` is added to the rehearsal's own.

    `guarded`: whether its command has itself end with its parent.
    """

    name: str
    command: list[str]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    guarded: bool = False


class Parts:
    """All that were started, by name; what runs in the end is stopped, the last first. `logs` has a file of each."""

    def __init__(self, logs: Path, tell: Tell) -> None:
        self.parts: dict[str, Part] = {}
        self._logs, self._tell = logs, tell
        # What points the platform at the parts later is none of theirs: SPARK_REMOTE makes others of Spark's programs.
        self._environment = dict(os.environ)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *parts: Part) -> None:
        """Start these at once and wait until each answers.

        Raises:
            PartError: one ended or did not answer within three minutes.
        """
        began = time.monotonic()
        for part in parts:
            self.parts[part.name] = part
            self._launch(part)
        for part in parts:
            self.wait(part.name)
            self._tell(f"{part.name} answers ({time.monotonic() - began:.1f} s)")

    def kill(self, name: str) -> None:
        """`kill -9` of the part and of what it started, as when its machine goes."""
        for process in self._family(name):
            process.kill()
        self._processes[name].wait(STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Start it again, as its supervisor would, without waiting for it."""
        self._launch(self.parts[name])

    def wait(self, name: str, seconds: float = START_SECONDS, restarts: int = 0) -> None:
        """Return when the part answers. When it ends, it is started again so many times, as by its supervisor.

        Raises:
            PartError: it ended, or does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while not self.parts[name].ready():
            if (code := self._processes[name].poll()) is not None:
                if not restarts:
                    raise PartError(f"{name} ended with {code}. The end of its log:\n{self._tail(name)}")
                restarts -= 1
                self._tell(f"{name} ended with {code} at its start, and is started again")
                self.restart(name)
            if time.monotonic() > deadline:
                raise PartError(f"{name} does not answer after {seconds:g} s. The end of its log:\n{self._tail(name)}")
            time.sleep(POLL_SECONDS)

    def memory(self) -> int:
        """Resident bytes of all that runs."""
        found = 0
        for name in self._processes:
            for process in self._family(name):
                try:
                    found += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
        return found

    def stop(self) -> None:
        """End all that runs, by force what does not end by itself within ten seconds."""
        families = [process for name in reversed(self._processes) for process in self._family(name)]
        for running in reversed(self._processes.values()):
            if running.poll() is None:
                running.terminate()
        _, alive = psutil.wait_procs(families, timeout=STOP_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=STOP_SECONDS)
        for ended in self._processes.values():
            ended.wait(STOP_SECONDS)

    def _launch(self, part: Part) -> None:
        guard = [] if part.guarded else [sys.executable, "-m", "crypto_platform.sandbox.parent_death"]
        with self._log(part.name).open("ab") as log:
            self._processes[part.name] = subprocess.Popen(
                [*guard, *part.command],
                env={**self._environment, **part.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for the rehearsal alone, which ends its parts.
                start_new_session=True,
            )

    def _family(self, name: str) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._processes[name].pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.log"

    def _tail(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(f"  {line[:400]}" for line in lines)
