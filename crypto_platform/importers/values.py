"""Prices, volumes and counts as texts with the digits that a file has, and which of them are none."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close")
OPTIONAL = ("trade_count", "vwap")

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COUNT = r"^(\d{1,18})(\.0*)?$"
_WHOLE = r"^\d{1,18}$"


def numbers(texts: pa.StringArray, name: str) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """The texts, and which are no finite number; an optional value may be missing, or NaN for it."""
    values = as_floats(texts)
    if values is None:
        texts = pc.utf8_trim_whitespace(texts)
        may_be = pc.match_substring_regex(texts, _NUMBER).fill_null(False)
        values = pc.if_else(may_be, texts, "nan").cast(pa.float64())
    wrong = ~np.isfinite(values.fill_null(np.nan).to_numpy(zero_copy_only=False))
    if name in OPTIONAL and wrong.any():
        missing = pc.equal(pc.utf8_lower(texts), "nan").fill_null(True)
        texts = pc.if_else(missing, None, texts)
        wrong &= ~missing.to_numpy(zero_copy_only=False)
    return texts, wrong


def counts(texts: pa.StringArray, name: str) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """Whole numbers from zero up, without a point; one may be missing."""
    whole = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), _COUNT, r"\1")
    whole = pc.if_else(pc.is_in(pc.utf8_lower(whole), pa.array(["nan", ""])), None, whole)
    return whole, ~np.asarray(pc.match_substring_regex(whole, _WHOLE).fill_null(True))


def shifted(texts: pa.StringArray, decimals: int) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """Whole numbers as decimals, 6448000 as 644.8 by 4, and which are none."""
    whole = pc.match_substring_regex(texts, _WHOLE).fill_null(False)
    padded = pc.utf8_lpad(pc.if_else(whole, texts, "0"), decimals + 1, "0")
    units = pc.utf8_slice_codeunits(padded, 0, -decimals)
    fractions = pc.utf8_rtrim(pc.utf8_slice_codeunits(padded, -decimals), "0")
    points = pc.if_else(pc.equal(fractions, ""), "", ".")
    return pc.binary_join_element_wise(units, points, fractions, ""), ~np.asarray(whole)


def as_floats(texts: pa.StringArray) -> pa.DoubleArray | None:
    """The nearest doubles; None where a text is no number at all."""
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
