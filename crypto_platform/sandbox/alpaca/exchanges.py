"""What exchanges' files call a bar's columns, and how they count time."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# What else a column may be called, in lower case and with _ for a space; recordings/README.md lists them.
ALIASES = {
    "timestamp": ("open_time", "opentime", "time", "datetime", "date"),
    "symbol": ("pair",),
    "trade_count": ("number_of_trades", "num_trades", "trades", "count"),
}

# A time before is none of a bar. From here to now a number is of one unit only, and no date such as 202403010000.
_EARLIEST = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) * 10**9
_DAY = 86_400 * 10**9
_UNITS = (10**9, 10**6, 10**3, 1)  # ns in a second, a millisecond, a microsecond, a nanosecond
# Eight digits are ISO 8601's basic date; other bare numbers are none of its.
_NUMBER = r"^[+-]?\d+(\.\d*)?$"
_BASIC_DATE = r"^\d{8}$"
_WHOLE = r"^(\d{1,19})(\.0*)?$"

NOT_A_TIME = np.iinfo(np.int64).min


def named(columns: Sequence[str]) -> list[str]:
    """The columns' names as recordings have them; one that is there under its own name has no other.

    Raises:
        ValueError: two columns may be meant by one name.
    """
    names = ["_".join(name.lower().split()) for name in columns]
    for name, aliases in ALIASES.items():
        found = [alias for alias in names if alias in aliases] if name not in names else []
        if len(found) > 1:
            raise ValueError(f"the columns {' and '.join(f'`{alias}`' for alias in found)} may each be `{name}`")
        names = [name if found and other == found[0] else other for other in names]
    return names


def epoch_ns(numbers: NDArray) -> NDArray[np.int64]:
    """Nanoseconds since the epoch, of numbers that are s, ms, µs or ns of it by their size, each by itself.

    `NOT_A_TIME` where a number is, in no unit, a time from 1980 to a day from now.
    """
    latest = time.time_ns() + _DAY
    found = np.full(len(numbers), NOT_A_TIME)
    for unit in _UNITS:
        of_unit = (numbers >= _EARLIEST // unit) & (numbers <= latest // unit)
        found[of_unit] = numbers[of_unit].astype(np.int64) * unit
    return found


def times(column: pa.Array) -> NDArray[np.int64]:
    """Nanoseconds since the epoch, UTC, of times, numbers or texts; `NOT_A_TIME` where a cell is no time.

    Raises:
        pa.ArrowNotImplementedError: the column holds something else.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        utc = column.cast(pa.timestamp("ns", tz="UTC" if getattr(kind, "tz", None) else None)).cast(pa.int64())
        return utc.fill_null(NOT_A_TIME).to_numpy()
    if pa.types.is_integer(kind):
        return epoch_ns(column.fill_null(0).to_numpy())
    if pa.types.is_floating(kind):
        numbers = column.fill_null(0).to_numpy().astype(np.float64)
        return epoch_ns(np.where(numbers == np.floor(numbers), numbers, 0))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_text(pc.utf8_trim_whitespace(column.cast(pa.string()).fill_null("")))
    raise pa.ArrowNotImplementedError(f"no times in {kind}")


def _of_text(texts: pa.StringArray) -> NDArray[np.int64]:
    import pandas as pd

    numeric = pc.match_substring_regex(texts, _NUMBER).to_numpy(zero_copy_only=False)
    numeric &= ~pc.match_substring_regex(texts, _BASIC_DATE).to_numpy(zero_copy_only=False)
    found = np.full(len(texts), NOT_A_TIME)
    if numeric.any():
        digits = pc.replace_substring_regex(texts.filter(pa.array(numeric)), _WHOLE, r"\1")
        whole = pc.match_substring_regex(digits, r"^\d{1,19}$")
        found[numeric] = epoch_ns(pc.if_else(whole, digits, "0").cast(pa.uint64()).to_numpy())
    if not numeric.all():
        rest = texts.filter(pa.array(~numeric)).to_pandas()
        parsed = pd.to_datetime(rest, utc=True, format="ISO8601", errors="coerce")
        # pandas' own mark of no time is the smallest integer too.
        found[~numeric] = parsed.dt.tz_localize(None).to_numpy("M8[ns]").astype(np.int64)
    return found
