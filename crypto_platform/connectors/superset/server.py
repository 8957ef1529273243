"""The service: ``python -m crypto_platform.connectors.superset.server`` becomes gunicorn with Superset."""

import hashlib
import os
import secrets
import shutil
import subprocess

from crypto_platform.connectors.superset import home
from crypto_platform.settings import Settings

WORKERS, THREADS = 2, 8
REQUEST_SECONDS = 120
SET_UP_SECONDS = 900


def prepare(settings: Settings) -> bool:
    """Bring Superset's metadata up to its version and see that the administrator is there; False when they were.

    Raises:
        SupersetError: Superset is not installed, or refuses; the message holds the end of what it said.
        ValueError: the settings of the login to Snowflake are incomplete.
    """
    python, mark = home.python(settings), home.folder(settings) / "prepared"
    done = hashlib.sha256(home.installed(settings).read_bytes() + home.metadata(settings).encode()).hexdigest()
    if mark.exists() and mark.read_text() == done:
        return False
    administrator, environment = home.login(settings), home.environment(settings)
    template = home.template(settings)
    if settings.superset_metadata_url is None and template.exists() and not (mark.parent / template.name).exists():
        shutil.copy(template, mark.parent)
    environment |= {
        "SUPERSET_USERNAME": administrator.username,
        "SUPERSET_PASSWORD": administrator.password.get_secret_value(),
    }
    run_set_up(str(python), environment)
    mark.write_text(done)
    return True


def make_template(settings: Settings) -> None:
    """The metadata of a Superset without users and content, from which new ones begin.

    Raises:
        SupersetError: Superset refuses; the message holds the end of what it said.
    """
    file = home.template(settings)
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    # It holds nothing that the key of whoever begins with it would have to read.
    own = {
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(48),
        "SUPERSET_HOME": str(file.parent),
        "SUPERSET_WAREHOUSE": "{}",
    }
    run_set_up(str(settings.superset_venv / "bin" / "python"), {**os.environ, **home.CONFIGURATION, **own})


def run_set_up(python: str, environment: dict[str, str]) -> None:
    """Run `dashboards/prepare.py`.

    Raises:
        SupersetError: it failed; the message holds the end of what it said.
    """
    command = [python, str(home.CODE / "prepare.py")]
    try:
        outcome = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=SET_UP_SECONDS
        )
    except subprocess.TimeoutExpired as late:
        raise home.SupersetError(f"Superset was not set up within {SET_UP_SECONDS} seconds") from late
    if outcome.returncode != 0:
        end = "\n".join((outcome.stdout + outcome.stderr).splitlines()[-15:])
        raise home.SupersetError(f"Superset could not be set up. The end of what it said:\n{end}")


def main() -> None:
    settings = Settings()
    prepare(settings)
    command = [
        str(home.python(settings).parent / "gunicorn"),
        f"--bind={settings.listen_address}:{settings.superset_port}",
        f"--workers={WORKERS}",
        "--worker-class=gthread",
        f"--threads={THREADS}",
        f"--timeout={REQUEST_SECONDS}",
        "superset.app:create_app()",
    ]
    os.execve(command[0], command, home.environment(settings))  # noqa: S606


if __name__ == "__main__":
    main()
