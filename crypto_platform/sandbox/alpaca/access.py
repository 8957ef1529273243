"""Who may ask: the keys in a request's headers, as Alpaca's REST and websocket take them."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """The one pair that is let in, or None: any pair that is not empty."""

    pair: tuple[str, str] | None = None

    def accepts(self, key: str, secret: str) -> bool:
        if self.pair is None:
            return bool(key and secret)
        return secrets.compare_digest(f"{key}\n{secret}".encode(), "\n".join(self.pair).encode())


def given(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The pair in the APCA headers or in basic authorization (alpaca-py's `use_basic_auth`), if any."""
    if "apca-api-key-id" in headers or "apca-api-secret-key" in headers:
        return headers.get("apca-api-key-id", ""), headers.get("apca-api-secret-key", "")
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            key, _, secret = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return key, secret
    return None
