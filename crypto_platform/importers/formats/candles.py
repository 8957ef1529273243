"""JSON arrays of rows that are plain numbers: columns are told apart by what a low and a high are."""

from collections.abc import Sequence

import pyarrow as pa

from crypto_platform.importers import clock
from crypto_platform.importers.sample import Sample

OHLCV = ("time", "open", "high", "low", "close", "volume")


def fits(sample: Sample, columns: Sequence[str], unit: str) -> bool:
    """Whether it is an array of arrays of these columns, its times in `unit`.

    In more than half of the rows no price may be below `low` or above `high`: single rows may be wrong.
    """
    if sample.kind != "JSON rows":
        return False
    rows = [row for row in sample.rows if len(row) == len(columns)]
    bars = [bar for row in rows if (bar := _numbers(columns, row))]
    return sum(bar["low"] <= min(bar.values()) and max(bar.values()) <= bar["high"] for bar in bars) * 2 > len(
        bars
    ) and clock.epochs(pa.array([str(row[0]) for row in rows])).units == {unit}


def _numbers(columns: Sequence[str], row: Sequence[str | None]) -> dict[str, float]:
    """The row's prices; none where it has no numbers."""
    named = dict(zip(columns, row, strict=True))
    try:
        return {name: float(named[name] or "") for name in ("open", "high", "low", "close")}
    except (TypeError, ValueError):
        return {}
