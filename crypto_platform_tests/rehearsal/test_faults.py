"""Faults, with a web server as the part and a process that reaches failpoints as the run."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crypto_platform.sandbox.ports import free_ports, is_free
from rehearsal import faults
from rehearsal.faults import CommandError, Fault, disturb
from rehearsal.parts import Part, PartError, Parts

RUN = "from crypto_platform.failpoints import reach; reach('before_publish'); reach('after_publish'); print('through')"


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def parts(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(faults, "DOWN_SECONDS", 0.0)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with Parts(tmp_path / "logs", lambda told: None) as started:
        started.start(Part("server", command, lambda: not is_free(port)))
        yield started


def at(point: str) -> Fault:
    return Fault(f"the server, at {point}", lambda: "server", at=point)  # type: ignore[arg-type]


def run(parts: Parts, home: Path, *chosen: Fault, code: str = RUN) -> faults.Disturbed:
    command = [sys.executable, "-c", code]
    return disturb(command, dict(os.environ), chosen, parts, home, lambda told: None)


def test_each_fault_has_its_moment_and_its_part_comes_back(parts: Parts, tmp_path: Path, port: int) -> None:
    done = run(parts, tmp_path, at("before_publish"), at("after_publish"))
    assert [recovery.name for recovery in done.recoveries] == [
        "the server, at before_publish",
        "the server, at after_publish",
    ]
    assert done.attempts == 1
    assert all(0 < recovery.answered <= recovery.whole for recovery in done.recoveries)
    assert not is_free(port)


def test_a_run_that_fails_is_run_again_with_the_faults_that_are_left(parts: Parts, tmp_path: Path) -> None:
    once = (
        "import pathlib, sys; from crypto_platform.failpoints import reach; reach('before_publish'); "
        f"mark = pathlib.Path({str(tmp_path / 'mark')!r}); there = mark.exists(); mark.touch()\n"
        "if not there: sys.exit('it broke')\n"
        "reach('after_publish')"
    )
    done = run(parts, tmp_path, at("before_publish"), at("after_publish"), code=once)
    assert (done.attempts, done.errors, len(done.recoveries)) == (2, ["it broke"], 2)


def test_a_fault_without_a_moment_is_named(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no moment for: the server, at after_commit"):
        run(parts, tmp_path, at("before_publish"), at("after_commit"))


def test_a_run_that_keeps_failing_is_shown(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no bread"):
        run(parts, tmp_path, code="raise SystemExit('there is no bread')")


def test_a_part_that_does_not_start_is_shown_by_its_log(tmp_path: Path) -> None:
    broken = Part("oven", [sys.executable, "-c", "raise SystemExit('no gas')"], lambda: False)
    with Parts(tmp_path, lambda told: None) as parts, pytest.raises(PartError, match=r"(?s)oven ended with 1.*no gas"):
        parts.start(broken)


def test_a_part_that_ends_as_it_starts_again_is_started_once_more(tmp_path: Path) -> None:
    starts, told = tmp_path / "starts", list[str]()
    code = f"from pathlib import Path; Path({str(starts)!r}).open('a').write('x'); raise SystemExit('no registration')"
    with Parts(tmp_path, told.append) as parts:
        parts.parts["broker"] = Part("broker", [sys.executable, "-c", code], lambda: len(starts.read_text()) == 3)
        starts.touch()
        parts.restart("broker")
        parts.wait("broker", restarts=2)
    assert told == ["broker ended with 1 at its start, and is started again"] * 2
    with Parts(tmp_path, told.append) as parts, pytest.raises(PartError, match="no registration"):
        parts.parts["broker"] = Part("broker", [sys.executable, "-c", code], lambda: False)
        parts.restart("broker")
        parts.wait("broker", restarts=2)


def test_nothing_outlives_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehearsal.parts.STOP_SECONDS", 0.5)
    child = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\ntime.sleep(60)"
    )
    with Parts(tmp_path, lambda told: None) as parts:
        before = set(psutil.Process().children(recursive=True))
        part = Part("stubborn", [sys.executable, "-c", child], lambda: len(family()) == 2)

        def family() -> set[psutil.Process]:
            return set(psutil.Process().children(recursive=True)) - before

        parts.start(part)
        left = family()
    assert len(left) == 2
    assert all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in left)
