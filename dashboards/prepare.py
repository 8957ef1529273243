"""Superset's own set-up in one process: the metadata's tables, the roles, the administrator.

Run by `crypto_platform.superset.server` with Superset's Python; what is there already is kept.
"""

import os
import sys

from superset.app import create_app
from superset.cli.main import superset

USERNAME, PASSWORD = os.environ["SUPERSET_USERNAME"], os.environ["SUPERSET_PASSWORD"]
STEPS = (
    ["db", "upgrade"],
    ["init"],
    [
        *["fab", "create-admin", "--username", USERNAME, "--password", PASSWORD],
        *["--firstname", "Market", "--lastname", "Data", "--email", f"{USERNAME}@localhost"],
    ],
)


def main() -> None:
    # In this process: the password is on no command line.
    runner = create_app().test_cli_runner()
    for step in STEPS:
        outcome = runner.invoke(superset, step)
        if outcome.exit_code != 0:
            sys.exit(f"superset {' '.join(step[:2])}: {outcome.output}{outcome.exception or ''}")


if __name__ == "__main__":
    main()
