"""The list of assets of Alpaca's trading API: https://docs.alpaca.markets/reference/get-v2-assets-1."""

import threading
from dataclasses import dataclass
from typing import Any, Literal

from crypto_platform.connectors.alpaca.client import AlpacaClient, Query, Traffic
from crypto_platform.connectors.alpaca.errors import TransientError
from crypto_platform.connectors.alpaca.page import PagesBefore, Rows
from crypto_platform.market.bars import AssetClass

Status = Literal["active", "inactive"]
_FIELDS = {"symbol": str, "exchange": str, "tradable": bool}


@dataclass(frozen=True)
class Asset:
    """What a universe asks of an asset; `is_active`: not delisted."""

    symbol: str
    exchange: str
    is_tradable: bool
    is_active: bool


def assets(client: AlpacaClient, feed: str, asset_class: AssetClass, status: Status) -> list[Asset]:
    """Every asset of the class and status, in Alpaca's order; the list comes as one page.

    Raises:
        AlpacaError: see `AlpacaClient.paged`.
    """
    query = Query(
        "assets", feed, "/assets", {"asset_class": asset_class, "status": status}, f"{status} {asset_class} assets"
    )
    return [
        Asset(found["symbol"], found["exchange"], found["tradable"], status == "active")
        for rows, _, _ in client.paged(query, _Check(), Traffic(), threading.Event())
        for found in rows.get("assets", ())
    ]


class _Check(PagesBefore):
    """The check of assets: a list of objects that have what is asked of them."""

    def __call__(self, body: Any) -> tuple[Rows, str | None]:
        if not isinstance(body, list) or not all(isinstance(found, dict) for found in body):
            raise TransientError("bad page", "not a list of assets")
        for found in body:
            if wrong := [name for name, kind in _FIELDS.items() if not isinstance(found.get(name), kind)]:
                raise TransientError("bad page", f"an asset has no {wrong[0]}: {str(found)[:80]}")
        return {"assets": body} if body else {}, None
