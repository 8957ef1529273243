"""Where the dbt project is and which dbt runs it; light, for the command line."""

import sys
from pathlib import Path

from crypto_platform.settings import PROJECT_ROOT

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
# dbt's name of what it knows of the project, in its target folder.
PARTIAL_PARSE = "partial_parse.msgpack"


def script() -> str:
    """The dbt command of this environment, whatever PATH says."""
    return str(Path(sys.executable).parent / "crypto-platform-dbt")
