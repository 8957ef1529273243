"""The list of assets of Alpaca's trading API: which symbols there are, for universes of them.

https://docs.alpaca.markets/reference/get-v2-assets-1
"""

import uuid
from collections.abc import Mapping

from crypto_platform.market.bars import SYMBOL_PATTERNS, AssetClass
from crypto_platform.sandbox.alpaca.paging import Source
from crypto_platform.sandbox.alpaca.parameters import choice

_CLASSES: dict[str, AssetClass] = {name: name for name in SYMBOL_PATTERNS}
# Recordings do not say where a stock is listed; of simulated ones it is decided by the symbol.
_EXCHANGES = ("NASDAQ", "NYSE", "ARCA", "AMEX", "BATS")
_NAMESPACE = uuid.UUID("3b0c7a52-6f0e-4a57-9a43-6f5f3c1f6a11")


def assets(source: Source, parameters: Mapping[str, str]) -> list[dict[str, object]]:
    """The assets that a request asks for, by symbol.

    Raises:
        BadRequestError: a parameter is invalid.
    """
    asset_class = _CLASSES[choice(parameters, "asset_class", set(_CLASSES), "us_equity")]
    status = choice(parameters, "status", {"active", "inactive"}, "active")
    exchange = parameters.get("exchange")
    found = [_asset(source.label, symbol, asset_class) for symbol in source.listed(asset_class)]
    return [a for a in found if a["status"] == status and exchange in (None, a["exchange"])]


def exchange_of(label: str, symbol: str) -> str:
    """Where a stock is listed; empty where it is not known."""
    key = uuid.uuid5(_NAMESPACE, symbol)
    return _EXCHANGES[key.int % len(_EXCHANGES)] if label == "simulated" else ""


def _asset(label: str, symbol: str, asset_class: AssetClass) -> dict[str, object]:
    key = uuid.uuid5(_NAMESPACE, symbol)
    exchange = "CRYPTO" if asset_class == "crypto" else exchange_of(label, symbol)
    tradable = label != "simulated" or asset_class == "crypto" or key.int % 50 > 0
    return {
        "id": str(key),
        "class": asset_class,
        "exchange": exchange,
        "symbol": symbol,
        "name": f"{symbol} ({label})",
        "status": "active",
        "tradable": tradable,
        "marginable": False,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": tradable,
        "attributes": [],
    }
