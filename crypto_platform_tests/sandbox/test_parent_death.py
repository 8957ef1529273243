import subprocess
import sys

import psutil
import pytest

CHILD = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
# A parent like supervisord: it makes its program a process group and then does nothing more for it.
PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:], process_group=0).wait()"
GUARD = [sys.executable, "-m", "crypto_platform.sandbox.parent_death"]
# A shell that stays, so that the program is its child.
GRANDCHILD = ["sh", "-c", '"$@"; true', "sh", *CHILD]


@pytest.mark.skipif(sys.platform != "linux", reason="the signal is Linux's")
@pytest.mark.parametrize("command", [[*GUARD, *CHILD], [*GUARD, "--group", *GRANDCHILD]], ids=["process", "group"])
def test_a_program_ends_with_its_killed_parent(command: list[str]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(timeout=30)
    finally:
        parent.kill()
        parent.communicate()


def test_a_group_passes_the_exit_code_on() -> None:
    command = [*GUARD, "--group", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(command, check=False).returncode == 7


def test_a_group_leaves_no_process_behind() -> None:
    command = [*GUARD, "--group", "sh", "-c", '"$@" & read _; exit 7', "sh", *CHILD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen(command, process_group=0, text=True, **pipes)
    assert parent.stdin
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.wait(timeout=30) == 7
        child.wait(timeout=30)
    finally:
        if child.is_running():
            child.kill()
        parent.communicate()
