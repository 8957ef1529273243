"""When tickers were in use, as `MARTS.DIM_SYMBOL_HISTORY` has it."""

from collections.abc import Mapping, Sequence
from datetime import date

# By symbol its periods [from, to), None without a bound; a symbol that never changed hands has none.
Periods = Mapping[str, Sequence[tuple[date | None, date | None]]]


def is_in_use(periods: Periods, symbol: str, day: date) -> bool:
    """Whether a company had the ticker on that day, so that its bars are to be expected."""
    known = periods.get(symbol)
    return not known or any((start or date.min) <= day < (end or date.max) for start, end in known)
