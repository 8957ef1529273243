"""Coinbase's candles, as its two REST APIs answer: newest first, in seconds, intervals without a trade left out.

https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-candles (arrays), and
https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles (objects). A
range that reaches to now ends with the running candle. Neither answer has the product or the granularity.
"""

from crypto_platform.importers import symbols
from crypto_platform.importers.formats.candles import fits
from crypto_platform.importers.layout import UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

_EXCHANGE = ("time", "low", "high", "open", "close", "volume")
_ADVANCED = {"time": "start", **{name: name for name in ("open", "high", "low", "close", "volume")}}
_RUNNING = "Coinbase answers a range that reaches to now with the running candle"


def _recognise_exchange(sample: Sample) -> Layout | None:
    if not fits(sample, _EXCHANGE, "seconds"):
        return None
    return _layout("arrays of 6: seconds, low, high, open, close, volume", len(_EXCHANGE), None)


def _recognise_advanced(sample: Sample) -> Layout | None:
    candles = sample.document.get("candles")
    if not isinstance(candles, list) or not all(isinstance(candle, dict) for candle in candles):
        return None
    if candles and not set(_ADVANCED.values()) <= set(candles[0]):
        return None
    rows = [[candle.get(_ADVANCED[name]) for name in _EXCHANGE] for candle in candles]
    return _layout("an object with `candles`, each with start, low, high, open, close, volume", len(_EXCHANGE), rows)


def _layout(why: str, width: int, rows: list[list[str | None]] | None) -> Layout:
    return Layout(
        why=why,
        series=[Series({name: str(place) for place, name in enumerate(_EXCHANGE)})],
        clock="epoch",
        width=width,
        rows=rows,
        zone=Fact(UTC, "a number since 1970"),
        label=Fact("start", "Coinbase"),
        may_be_running=_RUNNING,
    )


FORMATS = (
    Format(
        "coinbase",
        "Coinbase Exchange REST, candles, JSON",
        "https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-candles",
        _recognise_exchange,
        symbol=symbols.pair,
        asset_class="crypto",
    ),
    Format(
        "coinbase-advanced",
        "Coinbase Advanced Trade REST, candles, JSON",
        "https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles",
        _recognise_advanced,
        symbol=symbols.pair,
        asset_class="crypto",
    ),
)
