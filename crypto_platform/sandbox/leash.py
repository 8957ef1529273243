"""Run a command that does not outlive its parent: ``python -m crypto_platform.sandbox.leash COMMAND…``.

A supervisord killed with -9 stops nothing. On Linux the kernel then kills what runs on a leash (prctl(2),
PR_SET_PDEATHSIG, which stays in force over exec). Elsewhere the command runs without one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def leash() -> None:
    """Have this process killed when its parent dies.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    leash()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
