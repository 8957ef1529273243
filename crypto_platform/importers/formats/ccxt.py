"""Lists of OHLCV as ccxt's `fetch_ohlcv` returns them: https://docs.ccxt.com/#/?id=ohlcv-structure.

In milliseconds, oldest first. "The info from the last (current) candle may be incomplete until the candle is closed."
"""

from crypto_platform.importers import symbols
from crypto_platform.importers.formats import freqtrade
from crypto_platform.importers.formats.candles import OHLCV, fits
from crypto_platform.importers.layout import UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample


def _recognise(sample: Sample) -> Layout | None:
    # freqtrade writes the same lists, with pair and timeframe in the file's name.
    if not fits(sample, OHLCV, "milliseconds") or freqtrade.NAME.fullmatch(sample.source.name):
        return None
    return Layout(
        why="arrays of 6: milliseconds, open, high, low, close, volume",
        series=[Series({name: str(place) for place, name in enumerate(OHLCV)})],
        clock="epoch",
        width=len(OHLCV),
        zone=Fact(UTC, "a number since 1970"),
        label=Fact("start", "ccxt"),
        may_be_running="ccxt fetches the running candle as the last one",
    )


FORMATS = (
    Format(
        "ccxt",
        "ccxt OHLCV lists, JSON",
        "https://docs.ccxt.com/#/?id=ohlcv-structure",
        _recognise,
        symbol=symbols.pair,
        asset_class="crypto",
    ),
)
