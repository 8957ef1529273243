"""The statement that reads bars, of the marts as they are or of what was known at a moment."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from crypto_platform.research.catalog import ROLLED_UP, Source
from crypto_platform.research.errors import UnknownNameError
from crypto_platform.research.moments import bound

Adjustment = Literal["raw", "split", "all"]
"""As Alpaca's of the same names; `all` is for total return."""
Period = Literal["all", "year", "month", "session"]
"""By UTC year or month of a bar's start, YYYY or YYYYMM, or by its market's day, YYYYMMDD; or not at all, 0."""

# SQL by which prices are multiplied and volumes divided.
_SPLIT = "coalesce(days.split_factor, 1)"
_FACTORS: dict[Adjustment, tuple[str, str]] = {
    "raw": ("", ""),
    "split": (f" * {_SPLIT}", f" / {_SPLIT}"),
    "all": (f" * {_SPLIT} * coalesce(days.dividend_factor, 1)", f" / {_SPLIT}"),
}
_PRICES = ("open", "high", "low", "close", "vwap")
# What a day of any calendar, or a bar that is made of others, may reach beyond the range's ends; and where no bar is.
_MARGIN = timedelta(days=2)
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def check_columns(columns: Sequence[str] | None, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The columns to read, without repetitions.

    Raises:
        UnknownNameError: one that there is not, or none at all.
    """
    if columns is None:
        return list(default)
    asked = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns))
    if not asked or (unknown := [column for column in asked if column not in known]):
        what = f"there is no column {', '.join(map(repr, unknown))}" if asked else "no columns are given"
        raise UnknownNameError(f"{what}: choose from {', '.join(known)}")
    return asked


def check_adjustment(adjustment: str) -> Adjustment:
    """Return it.

    Raises:
        UnknownNameError: there is no such adjustment.
    """
    if adjustment not in get_args(Adjustment):
        raise UnknownNameError(f"there is no adjustment {adjustment!r}: choose from {', '.join(get_args(Adjustment))}")
    return adjustment  # type: ignore[return-value]


def bars_query(
    sources: Sequence[Source],
    columns: Sequence[str],
    start: datetime,
    end: datetime,
    adjustment: Adjustment,
    known_at: datetime | None,
    sort: bool,
) -> tuple[str, dict[str, str], list[str]]:
    """The statement, its values by name, and the symbols: the `columns` of the bars that begin in [start, end).

    A symbol is told by its place in the list, and a time in microseconds since 1970: numbers sort faster, and need no
    conversion on their way. It is one statement, whatever the feeds, so that all is of one moment.
    """
    selected = [*columns, *(name for name in _ORDER if name not in columns)]
    bars, values, symbols = _of_sources(sources, selected, start, end, adjustment, known_at)
    order = f"\norder by {', '.join(_ORDER)}" if sort else ""
    return f"select {', '.join(columns)}\nfrom (\n{bars}\n) as found{order}", values, symbols


def partitions_query(
    sources: Sequence[Source],
    by: Period,
    start: datetime,
    end: datetime,
    adjustment: Adjustment,
    known_at: datetime | None,
) -> tuple[str, dict[str, str], list[str]]:
    """The same for what each symbol has in each period: symbol, period, bars, version.

    The version is that of its bars' loads and of the factors that are in its prices, in sums of whole numbers and
    decimals, which come out the same in any order.
    """
    factors = {"raw": (), "split": ("split_factor",), "all": ("split_factor", "dividend_factor")}[adjustment]
    selected = ["symbol", f"by_{by}", "loaded_at", *factors]
    bars, values, symbols = _of_sources(sources, selected, start, end, adjustment, known_at)
    # As decimals: of floats a sum forgets a microsecond, and depends on the order.
    sums = ["sum(cast(loaded_at as number(38, 0)))", *(f"sum(cast({factor} as number(38, 12)))" for factor in factors)]
    version = " || ':' || ".join(f"cast({one} as varchar)" for one in sums)
    return (
        f"select symbol, by_{by} as period, count(*) as bars, {version} as version\n"
        f"from (\n{bars}\n) as found\ngroup by symbol, by_{by}\norder by symbol, by_{by}",
        values,
        symbols,
    )


def _of_sources(
    sources: Sequence[Source],
    columns: Sequence[str],
    start: datetime,
    end: datetime,
    adjustment: Adjustment,
    known_at: datetime | None,
) -> tuple[str, dict[str, str], list[str]]:
    symbols = sorted(symbol for source in sources for symbol in source.symbols)
    texts: list[str] = []
    values: dict[str, str] = {}
    first, after = max(start, _EARLIEST) - _MARGIN, min(end, _LATEST) + _MARGIN
    for number, source in enumerate(sources):
        text = _of_source(source, columns, adjustment, known_at)
        members = set(source.symbols)
        own = {
            "feed": source.feed,
            "symbols": json.dumps([symbol if symbol in members else None for symbol in symbols]),
            "calendar": source.calendar,
            "timeframe": source.timeframe,
            "start": bound(start),
            "end": bound(end),
            "first": bound(first),
            "after": bound(after),
            "first_date": str(first.date()),
            "after_date": str(after.date()),
        }
        if known_at is not None:
            own["known_at"] = bound(known_at)
        texts.append(re.sub(r"%\((\w+)\)s", rf"%(\1_{number})s", text))
        values |= {f"{name}_{number}": value for name, value in own.items()}
    return "\nunion all\n".join(texts), values, symbols


_ORDER = ("symbol", "bar_start")


def _of_source(source: Source, columns: Sequence[str], adjustment: Adjustment, known_at: datetime | None) -> str:
    # A coin has no actions.
    adjusted = source.asset_class != "crypto" and (
        adjustment != "raw" or bool({"split_factor", "dividend_factor"} & set(columns))
    )
    daily = source.timeframe == "1Day"
    cells = _cells(daily, adjusted, adjustment)
    if known_at is None:
        bars, days = f"MARTS.{_mart(source)}", "MARTS.fct_day_factors"
    else:
        bars, days = f"(\n{query(_known_bars(source))}\n)", f"(\n{query('day_factors_as_of')}\n)"
    joins = [
        "inner join table(flatten(input => parse_json(%(symbols)s))) as asked on asked.value::varchar = bars.symbol"
    ]
    conditions = ["bars.feed = %(feed)s"]
    # Alike for what is rolled up and what is not, and what the tables are clustered by.
    conditions += ["bars.bar_date >= %(first_date)s", "bars.bar_date < %(after_date)s"]
    if daily:
        joins.append(
            "inner join MARTS.dim_sessions as sessions "
            "on sessions.calendar = %(calendar)s and sessions.session_date = bars.bar_date"
        )
        conditions += ["sessions.day_starts_at >= %(start)s", "sessions.day_starts_at < %(end)s"]
    else:
        conditions += ["bars.bar_start >= %(start)s", "bars.bar_start < %(end)s"]
        if source.is_own:
            conditions.append("bars.timeframe = %(timeframe)s")
    if adjusted:
        joins.append(
            f"left join {days} as days "
            "on bars.feed = days.feed and bars.symbol = days.symbol and bars.bar_date = days.bar_date"
        )
    selected = ", ".join(f"{cells[column]} as {column}" for column in columns)
    lines = [f"select {selected}", f"from {bars} as bars", *joins, f"where {' and '.join(conditions)}"]
    return "\n".join(lines)


def _cells(daily: bool, adjusted: bool, adjustment: Adjustment) -> dict[str, str]:
    """SQL by column."""
    times, divided = _FACTORS[adjustment] if adjusted else ("", "")
    start = "sessions.day_starts_at" if daily else "bars.bar_start"
    return {
        "feed": "bars.feed",
        "symbol": "asked.index::integer",
        "timeframe": "%(timeframe)s",
        "bar_start": f"date_part(epoch_microsecond, {start})",
        "bar_date": "bars.bar_date",
        **{price: f"bars.{price}{times}" for price in _PRICES},
        "volume": f"bars.volume{divided}",
        "trade_count": "bars.trade_count",
        "split_factor": _SPLIT if adjusted else "1::float",
        "dividend_factor": "coalesce(days.dividend_factor, 1)" if adjusted else "1::float",
        "loaded_at": "date_part(epoch_microsecond, bars.loaded_at)",
        "by_all": "0",
        "by_year": f"year({start})",
        "by_month": f"year({start}) * 100 + month({start})",
        "by_session": "year(bars.bar_date) * 10000 + month(bars.bar_date) * 100 + day(bars.bar_date)",
    }


def _mart(source: Source) -> str:
    return "fct_bars" if source.is_own and source.timeframe != "1Day" else ROLLED_UP[source.timeframe]


def _known_bars(source: Source) -> str:
    return f"{_mart(source).removeprefix('fct_')}_as_of"


@cache
def query(name: str) -> str:
    """The text of a query of `queries`, which dbt's analysis of that name makes."""
    return files(__package__).joinpath("queries", f"{name}.sql").read_text()
