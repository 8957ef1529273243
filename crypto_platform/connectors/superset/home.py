"""Where Superset is installed, what it keeps on this machine, and how it is told of the warehouse."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from crypto_platform.connectors.snowflake.connection import connection_args
from crypto_platform.settings import PROJECT_ROOT, Settings

CODE = PROJECT_ROOT / "dashboards"
CONFIGURATION = {"SUPERSET_CONFIG_PATH": str(CODE / "superset_config.py")}
MEND = "run `make dashboard`, which installs it into an environment of its own"


class SupersetError(RuntimeError):
    """Superset is not there, refuses something, or a chart of it fails; the message says what to do."""


@dataclass(frozen=True)
class Login:
    """Who may do everything in this Superset."""

    username: str
    password: SecretStr


def folder(settings: Settings) -> Path:
    """Superset's own: generated secrets, and its metadata unless that is in another database."""
    return settings.crypto_platform_home / "superset"


def installed(settings: Settings) -> Path:
    """The lock that Superset was installed from; not there while it is not."""
    return settings.superset_venv / ".installed"


def template(settings: Settings) -> Path:
    """The metadata, in SQLite, of a Superset without users and content."""
    return settings.superset_venv / "metadata" / "superset.db"


def python(settings: Settings) -> Path:
    """The Python that Superset is installed for.

    Raises:
        SupersetError: it is not installed.
    """
    if not installed(settings).exists():
        raise SupersetError(f"Superset is not installed in {settings.superset_venv}: {MEND}")
    return settings.superset_venv / "bin" / "python"


def metadata(settings: Settings) -> str:
    """The database of the metadata without its login; empty where they are in `folder`."""
    if settings.superset_metadata_url is None:
        return ""
    parts = urlsplit(settings.superset_metadata_url.get_secret_value())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[-1]}{parts.path}"


def login(settings: Settings) -> Login:
    """The administrator; the password is generated once where none is set."""
    password = settings.superset_password or SecretStr(_generated(settings)["password"])
    return Login(settings.superset_username, password)


def environment(settings: Settings) -> dict[str, str]:
    """What `dashboards/superset_config.py` reads, beside this process's own environment. Secrets are in it."""
    key = settings.superset_secret_key
    metadata = settings.superset_metadata_url
    return {
        **os.environ,
        **CONFIGURATION,
        "SUPERSET_HOME": str(folder(settings)),
        "SUPERSET_SECRET_KEY": key.get_secret_value() if key else _generated(settings)["secret_key"],
        "SUPERSET_METADATA_URL": metadata.get_secret_value() if metadata else "",
        "SUPERSET_WAREHOUSE": json.dumps(warehouse(settings)),
        "SUPERSET_SOURCE": _source(settings),
    }


def warehouse(settings: Settings) -> dict[str, object]:
    """Keyword arguments of `snowflake.connector.connect` for the dashboards: a login that only reads.

    Raises:
        ValueError: an account is set, and not the role or the key that the dashboards log in with.
    """
    if not settings.embedded_snowflake:
        needed = ("superset_snowflake_role", "superset_snowflake_private_key_file")
        if missing := [name.upper() for name in needed if getattr(settings, name) is None]:
            raise ValueError(
                f"SNOWFLAKE_ACCOUNT is set and {' and '.join(missing)} is not: the dashboards log in as "
                f"{settings.superset_snowflake_user} with a key and a role of their own that only reads MARTS"
            )
    return connection_args(settings.for_dashboards, "dashboards")


def _source(settings: Settings) -> str:
    """What every page says of the bars: nothing of Alpaca's own, else that the sandbox served them."""
    return "sandbox" if settings.apca_api_data_url is None else ""


def _generated(settings: Settings) -> dict[str, str]:
    """Secrets of this home, made once, readable by its owner alone."""
    file = folder(settings) / "secrets.json"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {"password": secrets.token_urlsafe(18), "secret_key": secrets.token_urlsafe(48)}
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return dict(json.loads(file.read_text()))
    with os.fdopen(descriptor, "w") as new:
        json.dump(content, new)
    return content
