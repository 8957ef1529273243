import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from crypto_platform.sandbox import java
from crypto_platform.settings import Settings


def of_the_machine(java_home: Path | None) -> Settings:
    return Settings(sandbox_java="system", java_home=java_home)


def fake(home: Path, version_line: str) -> Path:
    """A JAVA_HOME whose java says so."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{version_line}' >&2\n")
    program.chmod(0o755)
    return home


def test_the_bundled_java_needs_none_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.check(Settings(java_home=fake(tmp_path, 'openjdk version "1.8.0_401"'))).startswith("21.")


def test_a_bundled_java_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(java.JavaError, match="run `make setup`, or set SANDBOX_JAVA=system"):
        java.check(Settings())


@pytest.mark.parametrize(
    ("line", "version"), [('openjdk version "17.0.15" 2025-04-15', "17.0.15"), ('openjdk version "25" 2025', "25")]
)
def test_17_and_newer_will_do(tmp_path: Path, line: str, version: str) -> None:
    assert java.check(of_the_machine(fake(tmp_path, line))) == version


@pytest.mark.parametrize(
    ("line", "said"),
    [('java version "1.8.0_401"', "is 1.8.0_401"), ('openjdk version "11.0.2"', "is 11.0.2"), ("boom", "does not run")],
)
def test_an_older_java_is_named_with_the_way_out(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(java.JavaError, match=f"Java 17 or newer is needed and .*{said}.*unset SANDBOX_JAVA"):
        java.check(of_the_machine(fake(tmp_path, line)))


def test_a_wrong_java_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(java.JavaError, match=f"JAVA_HOME is {tmp_path}"):
        java.check(of_the_machine(tmp_path))


def test_no_java_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(java.JavaError, match="SANDBOX_JAVA=system needs Java 17 or newer"):
        java.check(of_the_machine(None))


@pytest.mark.slow
def test_a_program_starts_with_the_classes_that_the_one_before_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    settings = Settings()
    tool = ["-cp", f"{settings.jars}/kafka/*", "-Xlog:class+load", "kafka.tools.StorageTool", "random-uuid"]

    def sources(keeps: bool) -> Counter[bool]:
        """How many of Kafka's classes came from the archive, and how many from the jars."""
        options = java.shared_classes(settings, "tool", keeps)
        command = [java.executable(settings), *options, *tool]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return Counter("shared objects file" in line for line in shown.splitlines() if "org.apache.kafka." in line)

    # One that keeps none takes what is there, and needs nothing to be there.
    assert sources(keeps=False).keys() == {False}
    assert sources(keeps=True).keys() == {False}
    assert sources(keeps=False).keys() == {True}


def test_where_the_environment_may_not_be_written_no_classes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(sys, "prefix", str(file))
    assert "-XX:+AutoCreateSharedArchive" not in java.shared_classes(Settings(), "kafka")
    assert java.shared_classes(of_the_machine(None), "kafka") == []
