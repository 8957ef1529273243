"""Programs that do not outlive supervisord, even one that is killed with -9 and stops nothing.

``python -m crypto_platform.sandbox.parent_death COMMAND…`` becomes the command, which then ends with its
parent; with ``--group`` it stays the command's parent and takes the command's own children along.

The kernel sees to it by PR_SET_PDEATHSIG (prctl(2)): in force over exec, not over fork. Elsewhere than on Linux nothing
does.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def end_with_parent(death: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process `death` when its parent ends.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), death)


def run_group(command: Sequence[str]) -> int:
    """Run the command until it ends, its process group no longer than it and supervisord; its exit code.

    Supervisord makes every program a process group and sends SIGTERM to all of it, so that this process only
    waits then.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.signal(signal.SIGUSR1, lambda number, frame: os.killpg(0, signal.SIGKILL))
    end_with_parent(signal.SIGUSR1)
    code = subprocess.run(command, check=False).returncode
    # `dagster dev` starts its code server anew when that ends before itself, as on SIGTERM to the group.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGTERM)
    return code


if __name__ == "__main__":
    if sys.argv[1] == "--group":
        sys.exit(run_group(sys.argv[2:]))
    end_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
