"""Named points at which a test can kill the process, to show that whatever ends a run there loses nothing.

`CRASH_AT=<name>` in the environment kills the process with SIGKILL when it reaches that point: no handler, no
clean-up, as when the machine goes. Unset, a point costs one look into the environment.
"""

import os
import signal
from typing import Literal, get_args

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
    """Kill this process at once if `CRASH_AT` names `point`."""
    if os.environ.get("CRASH_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)
