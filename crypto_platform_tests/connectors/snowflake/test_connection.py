import json
from pathlib import Path

import pytest
import snowflake.connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from crypto_platform.connectors.snowflake.connection import LoginError, check_key, connect, connection_args
from crypto_platform.settings import Settings


def test_the_emulator_is_reached_on_loopback() -> None:
    arguments = connection_args(Settings(sandbox_snowflake_port=1234))
    assert (arguments["host"], arguments["port"], arguments["protocol"]) == ("127.0.0.1", 1234, "http")
    assert arguments["session_parameters"]["TIMEZONE"] == "UTC"
    assert "QUERY_TAG" not in arguments["session_parameters"]


def test_production_logs_in_with_a_key_pair() -> None:
    arguments = connection_args(
        Settings(
            snowflake_account="org-account",
            snowflake_private_key_file=Path("/keys/rsa.p8"),
            snowflake_private_key_file_pwd=SecretStr("s3cret"),
            snowflake_role="LOADER",
        )
    )
    assert arguments["authenticator"] == "SNOWFLAKE_JWT"
    assert (arguments["private_key_file"], arguments["private_key_file_pwd"]) == ("/keys/rsa.p8", "s3cret")
    assert arguments["role"] == "LOADER"
    assert not {"password", "warehouse", "host"} & set(arguments)
    assert arguments["autocommit"] is True
    session = arguments["session_parameters"]
    assert json.loads(session.pop("QUERY_TAG")) == {"app": "crypto_platform", "component": "platform"}
    assert session == {"TIMEZONE": "UTC", "LOCK_TIMEOUT": 30, "ABORT_DETACHED_QUERY": True}
    assert session["LOCK_TIMEOUT"] < arguments["network_timeout"]


def test_an_account_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="SNOWFLAKE_PRIVATE_KEY_FILE is not"):
        connection_args(Settings(snowflake_account="org-account"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A private key as it is, one with the passphrase s3cret, what is none, and a file that is not there."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "plain").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    (folder / "locked").write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"s3cret")))
    (folder / "none").write_text("nonsense")
    return {name: folder / name for name in ("plain", "locked", "none", "absent")}


@pytest.mark.parametrize(
    ("key", "passphrase", "says"),
    [
        ("locked", "wr0ng", "SNOWFLAKE_PRIVATE_KEY_FILE is no private key, .* or not one that .*_PWD opens"),
        ("locked", None, "SNOWFLAKE_PRIVATE_KEY_FILE_PWD, .* is not set and the key needs it"),
        ("plain", "s3cret", "SNOWFLAKE_PRIVATE_KEY_FILE_PWD, .* is set and the key has none"),
        ("none", None, "SNOWFLAKE_PRIVATE_KEY_FILE is no private key"),
        ("absent", None, "SNOWFLAKE_PRIVATE_KEY_FILE cannot be read: .*No such file"),
    ],
)
def test_a_key_that_cannot_be_read_is_told_by_the_setting_before_anything_is_sent(
    keys: dict[str, Path], key: str, passphrase: str | None, says: str
) -> None:
    settings = Settings(
        snowflake_account="org-account",
        snowflake_private_key_file=keys[key],
        snowflake_private_key_file_pwd=SecretStr(passphrase) if passphrase else None,
    )
    with pytest.raises(LoginError, match=says) as refused, connect(settings):
        pass
    assert "s3cret" not in str(refused.value) and "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(("key", "passphrase"), [("plain", None), ("locked", SecretStr("s3cret"))])
def test_a_key_that_can_be_read_is_taken(keys: dict[str, Path], key: str, passphrase: SecretStr | None) -> None:
    check_key(
        Settings(
            snowflake_account="org-account",
            snowflake_private_key_file=keys[key],
            snowflake_private_key_file_pwd=passphrase,
        )
    )


def test_an_exception_leaves_no_transaction_and_no_lock(sandbox: Settings) -> None:
    with connect(sandbox) as connection:
        connection.cursor().execute("create schema if not exists connection_test")
        connection.cursor().execute("create or replace table connection_test.t as select 1 as a")
    with pytest.raises(ZeroDivisionError), connect(sandbox) as connection:
        connection.cursor().execute("begin")
        connection.cursor().execute("update connection_test.t set a = 2")
        raise ZeroDivisionError
    assert connection.is_closed()
    with connect(sandbox) as connection:
        assert connection.cursor().execute("select a from connection_test.t").fetchall() == [(1,)]
        connection.cursor().execute("update connection_test.t set a = 3")


def test_a_login_that_fails_raises(sandbox: Settings) -> None:
    gone = sandbox.model_copy(update={"sandbox_snowflake_port": 1, "snowflake_network_timeout": 1})
    with pytest.raises(snowflake.connector.errors.Error), connect(gone):
        pass
