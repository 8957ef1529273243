"""DataFrames of alpaca-py's bars, as `BarSet.df` makes them.

https://alpaca.markets/sdks/python/api_reference/data/models.html: the index is symbol and timestamp, in UTC; of one
symbol taken out of it the timestamp alone. The timeframe is not in it.
"""

from crypto_platform.importers.layout import Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

_BARS = {"timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"}


def _recognise(sample: Sample) -> Layout | None:
    names = sample.names
    if sample.kind not in ("CSV", "Parquet") or not set(names) >= _BARS or set(names) - _BARS - {"symbol"}:
        return None
    places = {name: str(place) if sample.kind == "CSV" else name for place, name in enumerate(names)}
    columns = {"time" if name == "timestamp" else name: place for name, place in places.items()}
    return Layout(
        why=f"{sample.kind} with timestamp, open, high, low, close, volume, trade_count, vwap"
        + (" and symbol" if "symbol" in names else ""),
        series=[Series(columns)],
        clock="text",
        header=1,
        width=len(names),
        label=Fact("start", "Alpaca"),
    )


FORMATS = (
    Format(
        "alpaca-py",
        "alpaca-py DataFrames of bars, CSV and Parquet",
        "https://alpaca.markets/sdks/python/api_reference/data/models.html",
        _recognise,
    ),
)
