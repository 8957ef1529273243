"""Stooq's CSV: a symbol's history (https://stooq.com/q/d/), and the database's ASCII files (https://stooq.com/db/h/).

The history is named `<symbol>_<interval>.csv`, as in `aapl_us_d.csv`. Days are dates. Of hours and minutes Stooq's
pages say neither the zone nor whether a time is a bar's start or its end.
"""

import re

from crypto_platform.importers import symbols
from crypto_platform.importers.layout import FILE_NAME, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

_PRICES = ("Open", "High", "Low", "Close", "Volume")
_HISTORY = ["Date", *_PRICES]
_HISTORY_OF_HOURS = ["Date", "Time", *_PRICES]
_DATABASE = ["<TICKER>", "<PER>", "<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>", "<OPENINT>"]
_FIELDS = ("symbol", None, "time", "time_of_day", "open", "high", "low", "close", "volume")
_NAME = re.compile(r"([a-z0-9.\-]+?)(?:_([a-z]{1,2}))?_([dwm])", re.IGNORECASE)
_PERIODS = {"D": "1Day", "W": "1Week", "M": "1Month", "60": "1Hour", "5": "5Min"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_OF_DAY: dict[int, dict[str, str]] = {len(_HISTORY): {}, len(_HISTORY_OF_HOURS): {"time_of_day": "1"}}
_NOTES = ["Stooq's prices are adjusted for splits, and for dividends by its page's settings"]


def _recognise(sample: Sample) -> Layout | None:
    if sample.kind != "CSV" or not sample.rows:
        return None
    names = sample.names
    if names in (_HISTORY, _HISTORY_OF_HOURS) and all(_DATE.fullmatch(row[0] or "") for row in sample.rows[1:]):
        name = _NAME.fullmatch(sample.source.stem)
        symbol = f"{name[1]}.{name[2]}" if name and name[2] else name[1] if name else None
        columns = {"time": "0", **{column.lower(): str(names.index(column)) for column in _PRICES}}
        return Layout(
            why=f"a header line {','.join(names)}, and dates",
            series=[Series(columns | _OF_DAY[len(names)], Fact(symbol, FILE_NAME) if symbol else None)],
            clock="text",
            header=1,
            width=len(names),
            timeframe=Fact(_PERIODS[name[3].upper()], FILE_NAME) if name else None,
            notes=_NOTES,
        )
    if names[:9] != _DATABASE[:9] or len(sample.rows) < 2:
        return None
    period = sample.rows[1][1] or ""
    return Layout(
        why="a header line <TICKER>,<PER>,<DATE>,<TIME>,…",
        series=[Series({name: str(place) for place, name in enumerate(_FIELDS) if name})],
        clock="text",
        header=1,
        width=len(names),
        time_format="%Y%m%d %H%M%S",
        timeframe=Fact(_PERIODS.get(period, f"{period}m"), "<PER>"),
        constants={"1": period},
        notes=_NOTES,
    )


FORMATS = (
    Format(
        "stooq",
        "Stooq history and database, CSV",
        "https://stooq.com/db/h/",
        _recognise,
        symbol=symbols.stooq,
        named=lambda stem: bool(_NAME.fullmatch(stem)),
    ),
)
