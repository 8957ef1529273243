"""Log in to the configured Snowflake, or to the embedded emulator when no account is set."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.snowflake.account import patience
from crypto_platform.connectors.snowflake.query_tag import APPLICATION, query_tag, tag_statements
from crypto_platform.connectors.snowflake.threads import ready_for_threads
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


# JWT token is invalid: https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting
_KEY_REFUSED = 390144


class LoginError(ValueError):
    """The settings of the login are incomplete or wrong; the message names the setting, and no secret."""


def connection_args(settings: Settings, component: str = "platform") -> dict[str, Any]:
    """Keyword arguments of `snowflake.connector.connect`; sessions are in UTC.

    https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#connect

    Raises:
        LoginError: an account is set and the key of its user is not.
    """
    arguments: dict[str, Any] = {
        "user": settings.snowflake_user,
        "database": settings.snowflake_database,
        "network_timeout": settings.snowflake_network_timeout,
        "login_timeout": settings.snowflake_network_timeout,
        "application": APPLICATION,
        # Whatever the account's default is: a transaction here begins with BEGIN.
        "autocommit": True,
    }
    named = {"role": settings.snowflake_role, "warehouse": settings.snowflake_warehouse}
    arguments |= {name: value for name, value in named.items() if value}
    if settings.embedded_snowflake:
        return arguments | {
            "account": "embedded",
            "password": "the emulator takes any",
            "host": "127.0.0.1",
            "port": settings.sandbox_snowflake_port,
            # Without a current schema the emulator's MERGE is lost.
            "schema": "RAW",
            "protocol": "http",
            # Asking which cloud this is takes a second and a network that is not there.
            "platform_detection_timeout_seconds": 0,
            "session_parameters": {"TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False},
        }
    if settings.snowflake_private_key_file is None:
        raise LoginError(
            "SNOWFLAKE_ACCOUNT is set and SNOWFLAKE_PRIVATE_KEY_FILE is not: give the file with the private key "
            f"of {settings.snowflake_user} (key-pair login, PKCS #8)"
        )
    passphrase = _passphrase(settings)
    return (
        arguments
        | ({"private_key_file_pwd": passphrase} if passphrase else {})
        | {
            "account": settings.snowflake_account,
            "authenticator": "SNOWFLAKE_JWT",
            "private_key_file": str(settings.snowflake_private_key_file.expanduser()),
            "session_parameters": {
                "TIMEZONE": "UTC",
                "QUERY_TAG": query_tag(component),
                "LOCK_TIMEOUT": patience(settings.snowflake_network_timeout),
                # What a dead client left running ends after five minutes, and its locks with it.
                "ABORT_DETACHED_QUERY": True,
            },
        }
    )


def check_key(settings: Settings) -> None:
    """Read the private key, of which the connector says what is wrong in words that name no setting.

    Raises:
        LoginError: the key's file cannot be read, or not with its passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    file, passphrase = settings.snowflake_private_key_file, _passphrase(settings)
    if file is None:
        return
    try:
        load_pem_private_key(file.expanduser().read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise LoginError(f"SNOWFLAKE_PRIVATE_KEY_FILE cannot be read: {file}: {error.strerror}") from None
    except TypeError:
        found = "is set and the key has none" if passphrase else "is not set and the key needs it"
        raise LoginError(f"SNOWFLAKE_PRIVATE_KEY_FILE_PWD, the passphrase of {file}, {found}") from None
    except (ValueError, UnsupportedAlgorithm):
        opened = ", or not one that SNOWFLAKE_PRIVATE_KEY_FILE_PWD opens" if passphrase else ""
        raise LoginError(f"SNOWFLAKE_PRIVATE_KEY_FILE is no private key, PKCS #8 in PEM{opened}: {file}") from None


def _passphrase(settings: Settings) -> str | None:
    secret = settings.snowflake_private_key_file_pwd
    return secret.get_secret_value() if secret else None


@contextmanager
def connect(settings: Settings, component: str = "platform") -> Iterator["SnowflakeConnection"]:
    """A session of `component`, as its query tags call it; closed in the end, which rolls back what is not committed.

    Raises:
        LoginError: the settings of the login are incomplete or wrong.
        snowflake.connector.errors.Error: the login failed.
    """
    # 1 s of imports.
    import snowflake.connector

    # Its INFO lines tell of every login; errors reach the caller as exceptions.
    logging.getLogger("snowflake.connector").setLevel(logging.ERROR)
    ready_for_threads()
    if not settings.embedded_snowflake:
        check_key(settings)
    try:
        connection = snowflake.connector.connect(**connection_args(settings, component))
    except snowflake.connector.errors.DatabaseError as error:
        if error.errno == _KEY_REFUSED:
            error.msg = (
                f"{error.msg} Snowflake refuses the key of {settings.snowflake_user}: it is not that of "
                "SNOWFLAKE_PRIVATE_KEY_FILE, or this machine's clock is off by a minute or more: "
                "`timedatectl set-ntp true`"
            )
        raise
    tag_statements(connection, component)
    try:
        yield connection
    finally:
        # One attempt: behind a cut line it would be retried until the network timeout.
        connection.close(retry=False)
