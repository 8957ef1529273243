"""Superset's own set-up in one process: the metadata's tables, the roles, the administrator.

Run by `crypto_platform.connectors.superset.server` with Superset's Python; what is there already is kept. Without
`SUPERSET_USERNAME` no administrator is made.
"""

import os
import sys

from superset.app import create_app
from superset.cli.main import superset

STEPS = [["db", "upgrade"], ["init"]]
if username := os.environ.get("SUPERSET_USERNAME"):
    STEPS.append(
        [
            *["fab", "create-admin", "--username", username, "--password", os.environ["SUPERSET_PASSWORD"]],
            *["--firstname", "Market", "--lastname", "Data", "--email", f"{username}@localhost"],
        ]
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
