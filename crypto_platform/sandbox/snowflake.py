"""Where the embedded Snowflake keeps its files, and whether it answers; `snowflake_server` is the server itself."""

import http.client
from pathlib import Path

from crypto_platform.settings import LOOPBACK, Settings


def folder(settings: Settings) -> Path:
    return settings.crypto_platform_home / "sandbox" / "snowflake"


def ready(settings: Settings) -> bool:
    """Whether the server answers over HTTP: asked for a session without a token, it answers 401."""
    connection = http.client.HTTPConnection(LOOPBACK, settings.sandbox_snowflake_port, timeout=1)
    try:
        connection.request("POST", "/session")
        return connection.getresponse().status == http.client.UNAUTHORIZED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
