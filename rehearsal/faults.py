"""Faults in the middle of a run: each waits for its moment, kills a part, has it started again, and is timed."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from crypto_platform.failpoints import CrashPoint
from rehearsal.parts import Parts, Tell

POLL_SECONDS = 0.02
WHOLE_SECONDS = 120.0
RUN_SECONDS = 900.0
# As long as a supervisor takes to start it again.
DOWN_SECONDS = 3.0
# How often it does so where the part ends at its start, as a broker does that no controller registers in time.
RESTARTS = 3


@dataclass(frozen=True)
class Fault:
    """Kill `part`, which names it when its moment has come: at the failpoint `at`, or once `when` is true after it.

    `whole`: whether nothing of it is missed any more.
    """

    name: str
    part: Callable[[], str]
    whole: Callable[[], bool] = lambda: True
    at: CrashPoint | None = None
    when: Callable[[], bool] | None = None


@dataclass
class Recovery:
    """What became of a fault: seconds from the kill until the part answered again, and until it was whole."""

    name: str
    killed: str
    answered: float
    whole: float


@dataclass
class Disturbed:
    """A command that was run until it succeeded: how often, and the faults in the middle of it."""

    attempts: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class CommandError(RuntimeError):
    """The command failed, also without a fault; or one of them never had its moment."""


def disturb(
    command: Sequence[str], variables: dict[str, str], faults: Sequence[Fault], parts: Parts, home: Path, tell: Tell
) -> Disturbed:
    """Run the command with `faults` in their order; repeat it as a person would until it succeeds.

    Raises:
        CommandError: it failed once more than there are faults, or a fault never had its moment.
        PartError: a part did not come back.
    """
    holds, log = home / "holds", home / "command.log"
    holds.mkdir(exist_ok=True)
    done, left = Disturbed(), list(faults)
    while True:
        done.attempts += 1
        _hold(left, holds)
        with (
            log.open("w+") as file,
            subprocess.Popen(
                command, env={**variables, "HOLD_IN": str(holds)}, stdout=file, stderr=subprocess.STDOUT
            ) as running,
        ):
            try:
                while left and _moment(left[0], holds, running):
                    fault = left.pop(0)
                    done.recoveries.append(fire(fault, parts, tell, partial(_release, fault, holds)))
                code = running.wait(timeout=RUN_SECONDS)
            finally:
                running.kill()
        if code == 0:
            break
        done.errors.append(_said(log))
        tell(f"the run failed ({done.errors[-1][:300]}): the same command again")
        if done.attempts > len(faults):
            raise CommandError(f"`{' '.join(command[-8:])}` fails also undisturbed:\n{log.read_text()[-3000:]}")
    if left:
        raise CommandError(f"no moment for: {', '.join(fault.name for fault in left)}")
    return done


def _moment(fault: Fault, holds: Path, running: "subprocess.Popen[bytes]") -> bool:
    """Wait for the fault's moment; False when the command ended before."""
    moments: list[Callable[[], bool]] = [(holds / f"{fault.at}.reached").exists] if fault.at else []
    if fault.when:
        moments.append(fault.when)
    deadline = time.monotonic() + RUN_SECONDS
    for number, has_come in enumerate(moments, 1):
        while not has_come():
            if running.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        if number < len(moments):
            _release(fault, holds)
    return True


def _hold(faults: Sequence[Fault], holds: Path) -> None:
    """Have the next run stop at these faults' points: else it would be past the second while the first is mended."""
    for file in holds.iterdir():
        file.unlink()
    for fault in faults:
        if fault.at:
            (holds / fault.at).touch()


def _release(fault: Fault, holds: Path) -> None:
    (holds / f"{fault.at}.reached").unlink(missing_ok=True)


def fire(fault: Fault, parts: Parts, tell: Tell, release: Callable[[], None] = lambda: None) -> Recovery:
    """Kill the fault's part, have it started again, and wait until it is whole; `release` is called once it is dead.

    Raises:
        PartError, TimeoutError: the part did not come back, or is not whole after two minutes.
    """
    part = fault.part()
    began = time.monotonic()
    parts.kill(part)
    release()
    time.sleep(DOWN_SECONDS)
    parts.restart(part)
    parts.wait(part, restarts=RESTARTS)
    answered = time.monotonic() - began
    while not fault.whole():
        if time.monotonic() - began > WHOLE_SECONDS:
            raise TimeoutError(f"{part} is not whole {WHOLE_SECONDS:g} s after it was killed")
        time.sleep(0.2)
    whole = time.monotonic() - began
    tell(f"{fault.name}: kill -9, answers again after {answered:.1f} s, whole after {whole:.1f} s")
    return Recovery(fault.name, part, answered, whole)


def _said(log: Path) -> str:
    """The end of what the command wrote after its table."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return " ".join([line for line in lines if line and line[0] not in "┏┃┡│└"][-3:]) or "nothing"
