"""The service users' key pairs, in a folder: `<user>.p8`, the private key, PKCS #8 in PEM, and `<user>.pub`.

https://docs.snowflake.com/en/user-guide/key-pair-auth
"""

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from crypto_platform.connectors.snowflake.account import SetupError

# Snowflake takes no shorter one.
BITS = 2048


def public_keys(folder: Path, users: Iterable[str]) -> dict[str, str]:
    """The public keys of those `users` that have one in the folder: PEM without its first and last line.

    Raises:
        SetupError: a file is no public RSA key.
    """
    files = {user: folder / f"{user.lower()}.pub" for user in users}
    return {user: _bare(file) for user, file in files.items() if file.exists()}


def generate(folder: Path, users: Iterable[str]) -> list[Path]:
    """Make the key pairs that are not there; returns the new private keys' files, which their owner alone may read.

    They have no passphrase: `openssl pkcs8 -topk8` writes one with it.

    Raises:
        SetupError: a private key is there without its public key, or the folder cannot be written.
    """
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for user in users:
            private, public = folder / f"{user.lower()}.p8", folder / f"{user.lower()}.pub"
            if public.exists():
                continue
            if private.exists():
                raise SetupError(
                    f"{private} has no {public.name} beside it: `openssl rsa -in {private} -pubout -out {public}`"
                )
            key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
            descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(
                    key.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption(),
                    )
                )
            public.write_bytes(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
            made.append(private)
    except OSError as error:
        raise SetupError(f"the keys cannot be written to {folder}: {error.strerror}") from None
    return made


def _bare(file: Path) -> str:
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise SetupError(f"{file} is no public key in PEM") from None
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < BITS:
        raise SetupError(f"{file} is no RSA key of {BITS} bits or more")
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "".join(pem.decode().splitlines()[1:-1])
