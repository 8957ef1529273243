"""The service: ``python -m crypto_platform.superset.server`` becomes gunicorn with Superset, on loopback."""

import hashlib
import os
import subprocess

from crypto_platform.sandbox.ports import LOOPBACK
from crypto_platform.settings import Settings
from crypto_platform.superset import home

WORKERS, THREADS = 2, 8
REQUEST_SECONDS = 120


def prepare(settings: Settings) -> bool:
    """Bring Superset's metadata up to its version and see that the administrator is there; False when they were.

    Raises:
        SupersetError: Superset is not installed, or refuses; the message holds the end of what it said.
        ValueError: the settings of the login to Snowflake are incomplete.
    """
    python, mark = home.python(settings), home.folder(settings) / "prepared"
    done = hashlib.sha256((settings.superset_venv / ".installed").read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == done:
        return False
    administrator = home.login(settings)
    environment = home.environment(settings) | {
        "SUPERSET_USERNAME": administrator.username,
        "SUPERSET_PASSWORD": administrator.password.get_secret_value(),
    }
    outcome = subprocess.run(
        [python, home.CODE / "prepare.py"], env=environment, capture_output=True, text=True, check=False
    )
    if outcome.returncode != 0:
        end = "\n".join((outcome.stdout + outcome.stderr).splitlines()[-15:])
        raise home.SupersetError(f"Superset could not be set up. The end of what it said:\n{end}")
    mark.write_text(done)
    return True


def main() -> None:
    settings = Settings()
    command = [
        str(home.python(settings).parent / "gunicorn"),
        f"--bind={LOOPBACK}:{settings.superset_port}",
        f"--workers={WORKERS}",
        "--worker-class=gthread",
        f"--threads={THREADS}",
        f"--timeout={REQUEST_SECONDS}",
        "superset.app:create_app()",
    ]
    os.execve(command[0], command, home.environment(settings))  # noqa: S606


if __name__ == "__main__":
    main()
