"""Alpha Vantage's stock time series, CSV and JSON: https://www.alphavantage.co/documentation/#time-series-data.

Newest first, on New York's clock. Intraday bars were labelled by their end (the last of a day at 20:00, or 16:00), and
later ones are by their start (the last at 19:55 or 19:59); the page says neither, what a file has of these does. A
week's and a month's bar has the date of its last session. The service names its files `intraday_5min_IBM.csv` and
`daily_IBM.csv`.
"""

import re

import numpy as np
from numpy.typing import NDArray

from crypto_platform.importers import symbols
from crypto_platform.importers.layout import FILE_NAME, NEW_YORK, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample
from crypto_platform.sandbox.alpaca.sessions import DAY, HOUR

_CSV = ("timestamp", "open", "high", "low", "close", "volume")
_CSV_MORE = {"adjusted_close", "adjusted close", "dividend_amount", "dividend amount", "split_coefficient"}
_JSON = ("open", "high", "low", "close", "volume")
_NAME = re.compile(r"(?:intraday_(\d+min)|(daily|weekly|monthly)(?:_adjusted)?)_([A-Za-z.\-]+)")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2})?")
_SERIES = re.compile(r"(?:Time Series \((\d+min|Daily)\)|(Weekly|Monthly)(?: Adjusted)? Time Series)")
_TIMEFRAMES = {"daily": "1Day", "weekly": "1Week", "monthly": "1Month"}
_OPEN, _CLOSE = 19 * HOUR // 2, 16 * HOUR
_EXTENDED_OPEN, _EXTENDED_CLOSE = 4 * HOUR, 20 * HOUR
_ADJUSTED = (
    "Alpha Vantage adjusts intraday bars for splits and dividends unless they were asked for with adjusted=false"
)


def _recognise(sample: Sample) -> Layout | None:
    return _of_csv(sample) if sample.kind == "CSV" else _of_json(sample)


def _of_csv(sample: Sample) -> Layout | None:
    names = sample.names
    if not set(_CSV) <= set(names) or names[0] != "timestamp" or set(names) - set(_CSV) - _CSV_MORE:
        return None
    name = _NAME.fullmatch(sample.source.stem)
    times = [row[0] or "" for row in sample.rows[1:] if row]
    # Many a file has these names for its columns: the service's are newest first.
    if not all(_TIME.fullmatch(time) for time in times) or not (name or (len(times) > 1 and times[0] > times[-1])):
        return None
    timeframe = (name[1] or _TIMEFRAMES[name[2].lower()]) if name else None
    columns = {"time" if column == "timestamp" else column: str(names.index(column)) for column in _CSV}
    return _layout(
        f"a header line {','.join(_CSV)}, newest first",
        Series(columns, Fact(name[3], FILE_NAME) if name else None),
        Fact(timeframe, FILE_NAME) if timeframe else None,
        Fact(NEW_YORK, "Alpha Vantage"),
        width=len(names),
    )


def _of_json(sample: Sample) -> Layout | None:
    meta = sample.document.get("Meta Data")
    key = next((key for key in sample.document if _SERIES.fullmatch(key)), None)
    if not isinstance(meta, dict) or key is None or not isinstance(sample.document[key], dict):
        return None
    match = _SERIES.fullmatch(key)
    period = (match[1] or match[2]).lower() if match else ""
    facts = {name.split(". ")[-1]: value for name, value in meta.items()}
    rows = []
    for time, bar in sample.document[key].items():
        named = {name.split(". ")[-1]: value for name, value in bar.items()} if isinstance(bar, dict) else {}
        rows.append([time, *(named.get(name) for name in _JSON)])
    columns = {name: str(place) for place, name in enumerate(("time", *_JSON))}
    zone = str(facts.get("Time Zone", ""))
    return _layout(
        f"an object with `Meta Data` and `{key}`",
        Series(columns, Fact(facts["Symbol"], "`Meta Data`") if "Symbol" in facts else None),
        Fact(_TIMEFRAMES.get(period, period), f"the key `{key}`"),
        Fact(NEW_YORK if zone in ("US/Eastern", "") else zone, "`Meta Data`" if zone else "Alpha Vantage"),
        width=len(columns),
        rows=rows,
    )


def _layout(why: str, series: Series, timeframe: Fact | None, zone: Fact, **more: object) -> Layout:
    return Layout(
        why=why,
        series=[series],
        clock="text",
        header=0 if "rows" in more else 1,
        timeframe=timeframe,
        zone=zone,
        label_in=label,
        may_be_running="Alpha Vantage answers with the running bar as the newest one",
        notes=[_ADJUSTED],
        **more,  # type: ignore[arg-type]
    )


def label(wall: NDArray[np.int64]) -> Fact | None:
    """Whether bars are labelled by start or end, of New York's times in ns, by what bounds a day; None: nothing does.

    With extended hours a day is from 4:00 to 20:00, without them from 9:30 to 16:00.
    """
    of_day = np.unique(wall % DAY)
    regular = len(of_day) > 0 and of_day[0] >= _OPEN and of_day[-1] <= _CLOSE
    first, last = (_OPEN, _CLOSE) if regular else (_EXTENDED_OPEN, _EXTENDED_CLOSE)
    begins, ends = first in of_day, last in of_day
    if begins == ends:
        return None
    at = first if begins else last
    return Fact("start" if begins else "end", f"there are bars at {at // HOUR}:{at % HOUR // (HOUR // 60):02}")


FORMATS = (
    Format(
        "alpha-vantage",
        "Alpha Vantage stock time series, CSV and JSON",
        "https://www.alphavantage.co/documentation/#time-series-data",
        _recognise,
        symbol=symbols.alpha_vantage,
        asset_class="us_equity",
    ),
)
