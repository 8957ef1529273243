"""Kraken's downloadable OHLCVT files and its REST answers.

https://support.kraken.com/articles/360047124832: CSV without a header, named `<pair>_<minutes>.csv`, intervals without
a trade left out. https://docs.kraken.com/api-reference/market-data/get-ohlc-data: the last entry is the running
interval, always; `last` is the time of the newest that is complete.
"""

import re

import pyarrow as pa

from crypto_platform.importers import clock, symbols
from crypto_platform.importers.layout import FILE_NAME, UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample
from crypto_platform.importers.source import RefusedError

_CSV = ("time", "open", "high", "low", "close", "volume", "trade_count")
_REST = ("time", "open", "high", "low", "close", "vwap", "volume", "trade_count")
_NAME = re.compile(r"([A-Z0-9.]+)_(\d+)")


def _columns(names: tuple[str, ...]) -> dict[str, str]:
    return {name: str(place) for place, name in enumerate(names)}


def _recognise_csv(sample: Sample) -> Layout | None:
    if sample.kind != "CSV" or not sample.rows or len(sample.rows[0]) != len(_CSV):
        return None
    rows = [row for row in sample.rows if len(row) == len(_CSV)]
    times = clock.epochs(pa.array([row[0] for row in rows], pa.string()))
    if not times.good.any() or times.units != {"seconds"} or not any((row[-1] or "").isdigit() for row in rows):
        return None
    name = _NAME.fullmatch(sample.source.stem)
    return Layout(
        why=f"{len(_CSV)} columns without a header: seconds, prices, volume, a whole number of trades",
        series=[Series(_columns(_CSV), Fact(name[1], FILE_NAME) if name else None)],
        clock="epoch",
        width=len(_CSV),
        timeframe=Fact(f"{name[2]}m", FILE_NAME) if name else None,
        zone=Fact(UTC, "a number since 1970"),
        label=Fact("start", "Kraken"),
    )


def _recognise_rest(sample: Sample) -> Layout | None:
    result = sample.document.get("result")
    if not isinstance(result, dict) or "last" not in result:
        return None
    pairs = [name for name, rows in result.items() if isinstance(rows, list)]
    if len(pairs) != 1:
        raise RefusedError(
            f"{sample.source}: Kraken answers of one pair, and this has {len(pairs)}: {', '.join(pairs)}"
        )
    last = clock.epochs(pa.array([str(result["last"])]))
    if not last.good.all():
        raise RefusedError(f"{sample.source}: `last` is {result['last']!r}, no time")
    return Layout(
        why="an object with `result`, a pair in it and `last`",
        series=[Series(_columns(_REST), Fact(pairs[0], "the key in `result`"))],
        clock="epoch",
        width=len(_REST),
        rows=result[pairs[0]],
        zone=Fact(UTC, "a number since 1970"),
        label=Fact("start", "Kraken"),
        last_committed=int(last.ns[0]),
    )


FORMATS = (
    Format(
        "kraken",
        "Kraken OHLCVT, CSV and zip",
        "https://support.kraken.com/articles/360047124832-downloadable-historical-ohlcvt-open-high-low-close-volume-trades-data",
        _recognise_csv,
        symbol=symbols.kraken,
        asset_class="crypto",
    ),
    Format(
        "kraken-rest",
        "Kraken REST, OHLC, JSON",
        "https://docs.kraken.com/api-reference/market-data/get-ohlc-data",
        _recognise_rest,
        symbol=symbols.kraken,
        asset_class="crypto",
    ),
)
