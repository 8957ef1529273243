"""The Java that runs Kafka and Spark: which one, and whether it will do."""

import re
import shutil
import subprocess

from crypto_platform.settings import Settings

VERSION = 17
HOW_TO_GET = (
    f"Install it with `apt-get install openjdk-{VERSION}-jre-headless` (Debian, Ubuntu), "
    f"`dnf install java-{VERSION}-openjdk-headless` (Fedora), `brew install openjdk@{VERSION}` (macOS) "
    "or from https://adoptium.net, and point JAVA_HOME at it if another one comes first."
)


class JavaError(RuntimeError):
    """No Java, or not the version that Spark and Kafka are tested on here."""


def executable(settings: Settings) -> str:
    """Path of the `java` to run.

    Raises:
        JavaError: there is none.
    """
    if settings.java_home:
        java = settings.java_home / "bin" / "java"
        if not java.exists():
            raise JavaError(f"JAVA_HOME is {settings.java_home}, where there is no bin/java. {HOW_TO_GET}")
        return str(java)
    found = shutil.which("java")
    if not found:
        raise JavaError(f"Java {VERSION} is needed and no java is on the PATH. {HOW_TO_GET}")
    return found


def check(settings: Settings) -> str:
    """The version of the Java to run, `17.0.15`.

    Raises:
        JavaError: there is none, it does not run, or it is not version 17.
    """
    java = executable(settings)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)([^"]*)"', answer.stderr)
    if not version or int(version[1]) != VERSION:
        found = f"is {version[1]}{version[2]}" if version else "does not run"
        raise JavaError(f"Java {VERSION} is needed and {java} {found}. {HOW_TO_GET}")
    return version[1] + version[2]
