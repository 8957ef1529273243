from pathlib import Path

import pytest

from crypto_platform.sandbox import java


def fake(home: Path, version_line: str) -> Path:
    """A JAVA_HOME whose java says so."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{version_line}' >&2\n")
    program.chmod(0o755)
    return home


def test_java_17_will_do(tmp_path: Path) -> None:
    assert java.check(fake(tmp_path, 'openjdk version "17.0.15" 2025-04-15')) == "17.0.15"


@pytest.mark.parametrize(
    ("line", "said"),
    [('java version "1.8.0_401"', "is 1.8.0_401"), ('openjdk version "21.0.2"', "is 21.0.2"), ("boom", "does not run")],
)
def test_another_java_is_named_with_the_way_to_get_17(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(java.JavaError, match=said) as error:
        java.check(fake(tmp_path, line))
    assert "apt-get install openjdk-17" in str(error.value)
    assert "brew install openjdk@17" in str(error.value)


def test_a_wrong_java_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(java.JavaError, match=f"JAVA_HOME is {tmp_path}"):
        java.check(tmp_path)


def test_no_java_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(java.JavaError, match="no java is on the PATH"):
        java.check(None)
