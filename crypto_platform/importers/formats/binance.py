"""Binance's klines: https://github.com/binance/binance-public-data, data.binance.vision.

Spot files have no header line, those of futures have one. Times are in milliseconds, those of spot files from 2025 on
in microseconds. A file is named `<symbol>-<interval>-<year>-<month>[-<day>]`.
"""

import re

import numpy as np
import pyarrow as pa

from crypto_platform.importers import clock
from crypto_platform.importers.layout import FILE_NAME, UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

_COLUMNS = ("time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trade_count")
_WIDTH = 12
_NAME = re.compile(r"([A-Z0-9_]+)-(\d+(?:s|m|h|d|w|mo))-\d{4}-\d{2}(?:-\d{2})?")
_SECOND = 10**9


def _recognise(sample: Sample) -> Layout | None:
    if sample.kind not in ("CSV", "JSON rows") or not sample.rows or len(sample.rows[0]) != _WIDTH:
        return None
    has_header = "_".join((sample.rows[0][0] or "").lower().split()) == "open_time"
    rows = [row for row in sample.rows[has_header:] if len(row) == _WIDTH]
    opens, closes = (clock.epochs(pa.array([row[place] for row in rows], pa.string())) for place in (0, 6))
    both = opens.good & closes.good
    if not both.any():
        return None
    # A kline ends a millisecond, or a microsecond, before the next begins.
    lengths = np.unique(np.round((closes.ns - opens.ns)[both] / _SECOND).astype(np.int64))
    days = lengths / 86_400
    if (days >= 28).all() and (days <= 31).all():
        timeframe = "1mo"
    elif len(lengths) == 1 and lengths[0] > 0:
        timeframe = f"{lengths[0] // 60}m" if lengths[0] % 60 == 0 else f"{lengths[0]}s"
    else:
        return None
    name = _NAME.fullmatch(sample.source.stem)
    columns = {column: str(place) for place, column in enumerate(_COLUMNS) if column in _WANTED}
    return Layout(
        why=f"{_WIDTH} columns, close times after open times, {'a' if has_header else 'no'} header line",
        series=[Series(columns, Fact(name[1], FILE_NAME) if name else None)],
        clock="epoch",
        header=int(has_header),
        width=_WIDTH,
        timeframe=Fact(timeframe, "close time - open time"),
        zone=Fact(UTC, "a number since 1970"),
        label=Fact("start", "open time"),
        may_be_running="" if sample.kind == "CSV" else "Binance's REST answers with the running kline",
    )


_WANTED = {"time", "open", "high", "low", "close", "volume", "trade_count"}

FORMATS = (
    Format(
        "binance",
        "Binance klines, CSV and zip",
        "https://github.com/binance/binance-public-data",
        _recognise,
        symbol=str.upper,
        asset_class="crypto",
    ),
)
