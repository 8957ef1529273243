"""Where the dbt project is and which dbt runs it; light, for the command line."""

import sys
from pathlib import Path

from crypto_platform.settings import PROJECT_ROOT

PROJECT_DIR = PROJECT_ROOT / "dbt_project"


def script() -> str:
    """The dbt command of this environment, whatever PATH says."""
    return str(Path(sys.executable).parent / "crypto-platform-dbt")
