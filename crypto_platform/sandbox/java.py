"""The Java that runs Kafka and Spark: which one, and whether it will do.

The standard library alone: `make setup` runs this file before anything is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = 17
HOW_TO_GET = (
    f"Install it with `apt-get install openjdk-{VERSION}-jre-headless` (Debian, Ubuntu), "
    f"`dnf install java-{VERSION}-openjdk-headless` (Fedora), `brew install openjdk@{VERSION}` (macOS) "
    "or from https://adoptium.net, and point JAVA_HOME at it if another one comes first."
)


class JavaError(RuntimeError):
    """No Java, or not the version that Spark and Kafka are tested on here."""


def executable(java_home: Path | None) -> str:
    """Path of the `java` to run: the one of `java_home`, or the first on the PATH.

    Raises:
        JavaError: there is none.
    """
    if java_home:
        java = java_home / "bin" / "java"
        if not java.exists():
            raise JavaError(f"JAVA_HOME is {java_home}, where there is no bin/java. {HOW_TO_GET}")
        return str(java)
    found = shutil.which("java")
    if not found:
        raise JavaError(f"Java {VERSION} is needed and no java is on the PATH. {HOW_TO_GET}")
    return found


def check(java_home: Path | None) -> str:
    """The version of the Java to run, `17.0.15`.

    Raises:
        JavaError: there is none, it does not run, or it is not version 17.
    """
    java = executable(java_home)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)([^"]*)"', answer.stderr)
    if not version or int(version[1]) != VERSION:
        found = f"is {version[1]}{version[2]}" if version else "does not run"
        raise JavaError(f"Java {VERSION} is needed and {java} {found}. {HOW_TO_GET}")
    return version[1] + version[2]


if __name__ == "__main__":
    try:
        check(Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None)
    except JavaError as error:
        sys.exit(str(error))
