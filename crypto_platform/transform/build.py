"""dbt's `build` in a process of its own, outside of Dagster's runs."""

import os
import subprocess
from pathlib import Path

from crypto_platform.settings import Settings
from crypto_platform.transform.paths import PROJECT_DIR, script


class BuildError(RuntimeError):
    """It was not built; the message is dbt's."""


def build(
    settings: Settings, what: str, project: Path, *options: str, longest_seconds: int, remediation: str = ""
) -> None:
    """Build what the `options` of dbt's command choose of the `project`; `what` is how an error calls it.

    Raises:
        BuildError: dbt failed, in which case the message ends with the `remediation`, or took too long.
    """
    command = [script(), "--quiet", "build", *options]
    command += ["--project-dir", str(project), "--profiles-dir", str(PROJECT_DIR)]
    environment = {**os.environ, **settings.environment()}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=longest_seconds
        )
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"dbt did not build {what} within {longest_seconds} seconds") from late
    if done.returncode:
        raise BuildError(f"dbt could not build {what}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}{remediation}")
