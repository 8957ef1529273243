"""The live views, made without a run of Dagster: they are there from the first bar on."""

import os
import subprocess
import sys
from pathlib import Path

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings
from crypto_platform.transform.project import PROJECT_DIR, new_run_folder

# Seconds; a dozen views take some ten.
LONGEST_SECONDS = 600
VIEWS = ("live_prices", "live_indicators_1h")


def ensure_live_views(settings: Settings) -> bool:
    """Build the views and what they look through, unless they are there; whether that had to be done.

    Raises:
        RuntimeError: dbt failed; the message is its own.
    """
    with connect(settings, "sensors") as connection:
        found = rows(
            connection.cursor(),
            "SELECT table_name FROM information_schema.views WHERE table_schema = 'MARTS' AND table_name IN (%s, %s)",
            [view.upper() for view in VIEWS],
        )
    if len(found) == len(VIEWS):
        return False
    build(settings, *(f"+{view}" for view in VIEWS))
    return True


def build(settings: Settings, *selected: str) -> None:
    """Have dbt build the selected models, untested.

    Raises:
        RuntimeError: dbt failed; the message is its own.
    """
    command = [str(Path(sys.executable).parent / "crypto-platform-dbt"), "--quiet", "build"]
    command += ["--select", *selected, "--exclude-resource-type", "test", "unit_test"]
    command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
    command += ["--target-path", str(new_run_folder(settings, "live-views"))]
    environment = {**os.environ, **settings.environment()}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"dbt did not build {' '.join(selected)} within {LONGEST_SECONDS} seconds") from late
    if done.returncode:
        raise RuntimeError(f"dbt could not build {' '.join(selected)}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
