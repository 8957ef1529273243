import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from crypto_platform.connectors.snowflake.account import Account, SetupError
from crypto_platform.connectors.snowflake.service_keys import generate, public_keys

PUBLIC = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def test_pairs_are_made_once_and_their_private_half_is_the_owner_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert generate(folder, ["SVC_LOADER"]) == [folder / "svc_loader.p8"]
    assert stat.S_IMODE((folder / "svc_loader.p8").stat().st_mode) == 0o600
    before = (folder / "svc_loader.p8").read_bytes()
    assert generate(folder, ["SVC_LOADER", "SVC_READER"]) == [folder / "svc_reader.p8"]
    assert (folder / "svc_loader.p8").read_bytes() == before
    keys = public_keys(folder, ["SVC_LOADER", "SVC_READER", "SVC_TRANSFORMER"])
    assert set(keys) == {"SVC_LOADER", "SVC_READER"}
    private = serialization.load_pem_private_key(before, None)
    written = private.public_key().public_bytes(*PUBLIC).decode()
    assert keys["SVC_LOADER"] == "".join(line for line in written.splitlines() if not line.startswith("-"))
    Account(public_keys=keys)


def test_a_private_key_alone_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "svc_loader.p8").write_text("mine")
    with pytest.raises(SetupError, match="openssl rsa"):
        generate(tmp_path, ["SVC_LOADER"])
    assert (tmp_path / "svc_loader.p8").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be written to"):
        generate(tmp_path / "file", ["SVC_LOADER"])


def test_no_other_key_is_taken_and_none_is_shown(tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key().public_bytes(*PUBLIC)  # noqa: S505
    curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*PUBLIC)
    for content, says in ((secret, "no public key"), (b"x", "no public key"), (short, "2048 bits"), (curve, "RSA")):
        (tmp_path / "svc_loader.pub").write_bytes(content)
        with pytest.raises(SetupError, match=says) as refused:
            public_keys(tmp_path, ["SVC_LOADER"])
        assert secret.decode().splitlines()[1] not in str(refused.value)
