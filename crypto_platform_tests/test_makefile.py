import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crypto_platform.settings import PROJECT_ROOT

MAKE = shutil.which("make") or "make"


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [MAKE, *arguments],
        cwd=PROJECT_ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def python(folder: Path, name: str, answers: str) -> Path:
    """A program `name` in `folder` that answers every question of make with these words."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{answers}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("target", ["setup", "demo", "test"])
@pytest.mark.parametrize(
    ("answers", "said"),
    [("echo 3.10; exit 1", "is 3.10"), ("echo pyenv: no such version >&2; exit 127", "does not run")],
)
def test_another_python_is_refused_in_a_sentence(target: str, answers: str, said: str, tmp_path: Path) -> None:
    other = python(tmp_path, "other-python", answers)
    answer = make(target, f"VENV={tmp_path / 'venv'}", f"PYTHON={other}")
    assert answer.returncode != 0
    assert answer.stdout == ""
    first, *_ = answer.stderr.splitlines()
    assert first.startswith(f"Python 3.11, 3.12 or 3.13 is needed and {other} {said}: `make PYTHON=")
    assert not (tmp_path / "venv").exists()


def test_no_python_is_said_with_the_way_to_get_one(tmp_path: Path) -> None:
    for name in ("sh", "sed", "find", "awk"):
        (tmp_path / name).symlink_to(shutil.which(name))
    python(tmp_path, "python3.13", "exit 127")
    answer = make("setup", f"VENV={tmp_path / 'venv'}", PATH=str(tmp_path))
    assert answer.returncode != 0
    assert answer.stderr.startswith("Python 3.11, 3.12 or 3.13 is needed and none is on the PATH: install one")


def test_the_newest_python_that_runs_is_taken(tmp_path: Path) -> None:
    python(tmp_path, "python3.13", "exit 127")
    python(tmp_path, "python3.12", "echo 3.12")
    python(tmp_path, "python3.11", "echo 3.11")
    answer = make("-n", "setup", f"VENV={tmp_path / 'venv'}", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert f"Making {tmp_path / 'venv'} for Python 3.12" in answer.stdout


def test_help_names_every_target_of_the_readme() -> None:
    printed = make("help").stdout
    for target in (
        *("setup", "demo", "up", "dashboard", "dashboard-check", "test", "test-unit", "check", "format", "lock"),
        *("bench", "drill", "clean"),
    ):
        assert f"  make {target} " in printed
