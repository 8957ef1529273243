"""Named points at which a test can kill the process or hold it, to show that what happens there loses nothing.

`CRASH_AT=<name>` in the environment kills the process with SIGKILL when it reaches that point: no handler, no
clean-up, as when the machine goes. `HOLD_IN=<folder>` has it wait at a point that a file there is named after, which is
renamed to `<name>.reached`, until that is removed: meanwhile something else is broken. Unset, a point costs two looks
into the environment.
"""

import os
import signal
import time
from pathlib import Path
from typing import Literal, get_args

HOLD_SECONDS = 120.0

CrashPoint = Literal[
    "before_publish",
    "during_publish",
    "after_publish",
    "before_parquet",
    "after_parquet",
    "after_put",
    "after_copy",
    "after_begin",
    "after_offsets",
    "after_versions",
    "after_rejected",
    "before_commit",
    "after_commit",
    "before_clean_up",
]
CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)
ExportPoint = Literal["during_export", "before_swap", "after_swap"]
EXPORT_POINTS: tuple[ExportPoint, ...] = get_args(ExportPoint)


def reach(point: CrashPoint | ExportPoint) -> None:
    """Kill this process at once if `CRASH_AT` names `point`; wait if `HOLD_IN` has its file."""
    if os.environ.get("CRASH_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)
    if folder := os.environ.get("HOLD_IN"):
        _hold(Path(folder) / point)


def _hold(file: Path) -> None:
    reached = file.with_name(f"{file.name}.reached")
    try:
        file.rename(reached)
    except FileNotFoundError:
        return
    until = time.monotonic() + HOLD_SECONDS
    while reached.exists() and time.monotonic() < until:
        time.sleep(0.05)
