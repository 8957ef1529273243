"""Times as files write them, as nanoseconds; and what their distances say of the timeframe."""

from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crypto_platform.importers.layout import Layout
from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.exchanges import NOT_A_TIME, epoch_ns, times
from crypto_platform.sandbox.alpaca.recordings import timeframe_of
from crypto_platform.sandbox.alpaca.sessions import DAY, to_new_york
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, Timeframe

_UNITS = {10**9: "seconds", 10**6: "milliseconds", 10**3: "microseconds", 1: "nanoseconds"}
_MILLISECOND = 10**6
# A text with a time of day and, after it, an offset or Z.
_ZONED = r":.*(Z|[+-]\d{2}(:?\d{2})?)$"


@dataclass(frozen=True)
class Times:
    """Nanoseconds since the epoch: of UTC where `zoned`, else of a clock whose zone the file does not say, as if it
    were UTC's; `NOT_A_TIME` where the field is no time. `units` of the numbers among them."""

    ns: NDArray[np.int64]
    zoned: NDArray[np.bool_]
    units: frozenset[str] = frozenset()

    @property
    def good(self) -> NDArray[np.bool_]:
        return self.ns != NOT_A_TIME


def read(layout: Layout, column: pa.Array, time_of_day: pa.Array | None = None) -> Times:
    """The times of a column; `time_of_day` is joined to it where a date has one of its own.

    Raises:
        pa.ArrowNotImplementedError: the column holds no times at all, such as a list.
    """
    if time_of_day is not None:
        column = pc.binary_join_element_wise(as_text(column), as_text(time_of_day), " ")
    if pa.types.is_temporal(column.type):
        zoned = np.full(len(column), getattr(column.type, "tz", None) is not None)
        return Times(times(column), zoned)
    if layout.clock == "epoch":
        return epochs(column)
    if layout.clock == "milliseconds of the day":
        passed = _whole(column)
        within = (passed >= 0) & (passed < DAY // _MILLISECOND)
        midnight = int(np.datetime64(layout.day, "ns").astype(np.int64))
        ns = np.where(within, midnight + np.where(within, passed, 0) * _MILLISECOND, NOT_A_TIME)
        return Times(ns, np.zeros(len(column), bool))
    return _of_text(as_text(column), layout.time_format)


def as_text(column: pa.Array) -> pa.Array:
    """The column's values as texts: a float with its shortest digits, NaN as none."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(pa.string())


def epochs(column: pa.Array) -> Times:
    """Numbers since 1970, in a unit by the size of each."""
    ns, numbers = _epoch(column)
    good = ns != NOT_A_TIME
    units = (name for factor, name in _UNITS.items() if (ns[good] == numbers[good] * factor).any())
    return Times(ns, np.ones(len(ns), bool), frozenset(units))


def _epoch(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nanoseconds and the numbers themselves, whole ones; 0 where a field is none."""
    texts = as_text(column).fill_null("0")
    try:
        numbers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        whole = pc.replace_substring_regex(texts, r"^\s*(\d{1,18})(\.0*)?\s*$", r"\1")
        numbers = pc.if_else(pc.match_substring_regex(whole, r"^\d{1,18}$"), whole, "0").cast(pa.int64())
    counted = numbers.to_numpy(zero_copy_only=False)
    return epoch_ns(counted), counted


def _whole(column: pa.Array) -> NDArray[np.int64]:
    """Whole numbers; -1 where a field is none."""
    texts = as_text(column).fill_null("-1")
    try:
        return texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        digits = pc.match_substring_regex(texts, r"^\d{1,9}$")
        return pc.if_else(digits, texts, "-1").cast(pa.int64()).to_numpy(zero_copy_only=False)


def _of_text(texts: pa.StringArray, time_format: str | None) -> Times:
    import pandas as pd

    texts = pc.utf8_trim_whitespace(texts.fill_null(""))
    zoned = pc.match_substring_regex(texts, _ZONED).to_numpy(zero_copy_only=False)
    ns = np.full(len(texts), NOT_A_TIME)
    for rows, is_zoned in ((zoned, True), (~zoned, False)):
        if rows.any():
            some = texts.filter(pa.array(rows)).to_pandas()
            parsed = pd.to_datetime(some, format=time_format or "ISO8601", errors="coerce", utc=is_zoned)
            # pandas' own mark of no time is the smallest integer too.
            ns[rows] = pd.DatetimeIndex(parsed).tz_localize(None).to_numpy("M8[ns]").astype(np.int64)
    return Times(ns, zoned)


def to_utc(wall: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """What a zone's clock shows (ns, as if it were UTC's) in UTC; `NOT_A_TIME` where it shows that twice or never."""
    import pandas as pd

    clock = pd.DatetimeIndex(wall.astype("M8[ns]"))
    utc = clock.tz_localize(ZoneInfo(zone), ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")
    return utc.tz_localize(None).to_numpy("M8[ns]").astype(np.int64)


def inferred(series: Iterable[tuple[NDArray[np.int64], AssetClass, bool]]) -> tuple[Timeframe | None, str, int]:
    """The timeframe that the distances between bars say; why, or why none; and how many distances there are.

    It takes more than half of all distances to be the smallest one, all to be whole multiples of it, and two at the
    least. Each series: times (ns), class, whether they are UTC's.
    """
    steps = [np.diff(np.unique(_local(*one))) for one in series if len(one[0])]
    distances = np.concatenate([np.empty(0, np.int64), *steps])
    if len(distances) < 2:
        return None, "too few bars to infer it from the distances between them", len(distances)
    smallest = int(distances.min())
    usual = int(np.count_nonzero(distances == smallest))
    words = _duration(smallest)
    if (distances % smallest).any() or usual * 2 <= len(distances):
        return None, f"of {len(distances):,} distances between bars only {usual:,} are {words}", len(distances)
    try:
        if smallest % MINUTE:
            raise ValueError("no whole minutes")
        found = timeframe_of(f"{smallest // MINUTE}m")
        return found, f"{usual:,} of {len(distances):,} distances between bars", len(distances)
    except ValueError:
        return None, f"its bars are {words} apart", len(distances)


def _local(ns: NDArray[np.int64], asset_class: AssetClass, zoned: bool) -> NDArray[np.int64]:
    """A stock's days are 23 to 25 hours apart but by New York's clock."""
    return to_new_york(ns) if zoned and asset_class == "us_equity" else ns


def _duration(ns: int) -> str:
    for size, name in ((DAY, "days"), (60 * MINUTE, "hours"), (MINUTE, "minutes")):
        if ns % size == 0:
            return f"{ns // size} {name}"
    return f"{ns / 10**9:g} seconds"
