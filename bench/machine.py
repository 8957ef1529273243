"""What the figures were measured on."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psutil

PACKAGES = (
    "alpaca-py",
    "confluent-kafka",
    "dagster",
    "dbt-core",
    "dlt",
    "duckdb",
    "fakesnow",
    "pandas",
    "pyspark",
    "snowflake-connector-python",
)


def machine() -> dict[str, Any]:
    """Cores, memory (GiB), other load at the start (runnable processes, one minute's mean), versions, UTC date."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    found = subprocess.run([git, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
