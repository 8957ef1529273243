import os
import subprocess
from pathlib import Path

import pytest

from crypto_platform.settings import PROJECT_ROOT


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=PROJECT_ROOT, env=clean | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("target", ["setup", "demo", "test"])
def test_a_wrong_java_is_named_before_anything_else(target: str, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    answer = make(target, f"VENV={tmp_path / 'venv'}", JAVA_HOME=str(tmp_path))
    assert answer.returncode != 0
    assert answer.stdout == ""
    assert answer.stderr.startswith("Java 17 is needed and ")
    assert "apt-get install openjdk-17" in answer.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_named_before_anything_else(tmp_path: Path) -> None:
    answer = make("setup", f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python")
    assert answer.returncode != 0
    assert answer.stderr.startswith("Python 3.11 is needed")
    assert not (tmp_path / "venv").exists()


def test_help_names_every_target_of_the_readme() -> None:
    printed = make("help").stdout
    for target in (
        *("setup", "demo", "up", "dashboard", "dashboard-check", "test", "test-unit", "check", "format", "lock"),
        *("bench", "drill", "clean"),
    ):
        assert f"  make {target} " in printed
