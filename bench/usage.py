"""What memory and processor time processes took, sampled while they run."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

EVERY_SECONDS = 0.2
SAMPLES_A_LOOK = 5
DBT, DBT_SERVER = "dbt", "dbt-server"


@dataclass
class Usage:
    """One program's: the largest of its processes at its largest (bytes), and CPU seconds of all its processes."""

    peak_rss: int = 0
    cpu: dict[int, float] = field(default_factory=dict)
    cpu_before: dict[int, float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        """User and system time spent while it was watched."""
        return sum(now - self.cpu_before[pid] for pid, now in self.cpu.items())


@contextmanager
def watching(settled: Mapping[str, int], growing: Mapping[str, int]) -> Iterator[dict[str, Usage]]:
    """Sample programs (name: pid) with the processes under them until the block ends.

    Those of `settled` start no more processes, so that looking for them, which costs most, is done once; dbt's server
    does. What it carries out, and processes that run dbt's command, count as a program `dbt` of their own.
    """
    seen: dict[str, Usage] = {}
    families = _families({name: pid for name, pid in settled.items() if name != DBT_SERVER})
    if DBT_SERVER in settled:
        growing = {**growing, DBT: settled[DBT_SERVER]}
    for name, process in (*families, *_families(growing)):
        _sample(seen, name, process, started_before=True)
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(families, growing, seen, stop), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _families(programs: Mapping[str, int]) -> list[tuple[str, psutil.Process]]:
    found = []
    for name, pid in programs.items():
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            found += [(name, process) for process in (root, *root.children(recursive=True))]
    return found


def _watch(
    families: list[tuple[str, psutil.Process]],
    growing: Mapping[str, int],
    seen: dict[str, Usage],
    stop: threading.Event,
) -> None:
    while True:
        young = _families(growing)
        for _ in range(SAMPLES_A_LOOK):
            for name, process in (*families, *young):
                _sample(seen, name, process)
            if stop.wait(EVERY_SECONDS):
                return


def _sample(seen: dict[str, Usage], name: str, process: psutil.Process, started_before: bool = False) -> None:
    with suppress(psutil.NoSuchProcess), process.oneshot():
        times, memory = process.cpu_times(), process.memory_info().rss
        is_dbt = any(part.endswith("-dbt") for part in process.cmdline()[:2])
        usage = seen.setdefault(DBT if is_dbt else name, Usage())
        usage.peak_rss = max(usage.peak_rss, memory)
        spent = times.user + times.system
        usage.cpu[process.pid] = spent
        usage.cpu_before.setdefault(process.pid, spent if started_before else 0.0)
