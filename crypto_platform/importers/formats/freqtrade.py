"""freqtrade's data files, Feather and JSON: https://www.freqtrade.io/en/stable/data-download/.

Named `<base>_<quote>-<timeframe>.feather`; of a swap the settlement follows, and `-futures`. freqtrade leaves the
running candle out when it downloads.
"""

import re

from crypto_platform.importers import symbols
from crypto_platform.importers.formats.candles import OHLCV, fits
from crypto_platform.importers.layout import FILE_NAME, UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

NAME = re.compile(r"([A-Z0-9]+_[A-Z0-9]+(?:_[A-Z0-9]+)?)-(\d+(?:m|h|d|w|Mo|M))(-\w+)?\.(feather|json(\.gz)?)")
_FEATHER = ["date", "open", "high", "low", "close", "volume"]


def _recognise(sample: Sample) -> Layout | None:
    name = NAME.fullmatch(sample.source.name)
    if sample.kind == "Feather" and sample.names == _FEATHER:
        columns = {"time": "date", **{column: column for column in _FEATHER[1:]}}
        why, zone = "Feather with date, open, high, low, close, volume", "the column's type"
    elif name and fits(sample, OHLCV, "milliseconds"):
        columns = {column: str(place) for place, column in enumerate(OHLCV)}
        why, zone = "arrays of 6, in a file named as freqtrade does", "a number since 1970"
    else:
        return None
    # Of a swap: `BTC_USDT_USDT` is none of the platform's pairs, and is asked for.
    return Layout(
        why=why,
        series=[Series(columns, Fact(name[1], FILE_NAME) if name else None)],
        clock="epoch",
        width=len(OHLCV),
        timeframe=Fact(name[2].replace("Mo", "mo").replace("M", "mo"), FILE_NAME) if name else None,
        zone=Fact(UTC, zone),
        label=Fact("start", "freqtrade"),
    )


FORMATS = (
    Format(
        "freqtrade",
        "freqtrade OHLCV, Feather and JSON",
        "https://www.freqtrade.io/en/stable/data-download/",
        _recognise,
        symbol=symbols.pair,
        asset_class="crypto",
    ),
)
