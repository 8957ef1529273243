"""CSV of yfinance's DataFrames: https://ranaroussi.github.io/yfinance/reference/yfinance.functions.html.

`download` of one ticker or several has header lines `Price`, `Ticker` and `Date` (or `Datetime`); older versions and
`Ticker.history` have one. Days are dates of the ticker's exchange, or its midnights; shorter bars have an offset.
Prices are adjusted for splits, without a column `Adj Close` for dividends too.
"""

from crypto_platform.importers import symbols
from crypto_platform.importers.layout import Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample

_PRICES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}
_OTHERS = {"Adj Close", "Dividends", "Stock Splits", "Capital Gains", "Repaired?"}
_TIMES = ("Date", "Datetime")


def _recognise(sample: Sample) -> Layout | None:
    if sample.kind != "CSV" or not sample.rows:
        return None
    first = sample.names
    if not first:
        return None
    if first[0] in _TIMES and set(_PRICES) <= set(first) and not set(first) - {*_PRICES, *_OTHERS, *_TIMES}:
        columns = {"time": "0", **{name: str(first.index(column)) for column, name in _PRICES.items()}}
        return _layout("a header line", sample, [Series(columns)], 1, "Adj Close" in first)
    if len(sample.rows) < 3 or {first[0], sample.rows[1][0]} != {"Price", "Ticker"} or sample.rows[2][0] not in _TIMES:
        return None
    prices, tickers = sample.rows[:2] if first[0] == "Price" else sample.rows[1::-1]
    series = []
    for ticker in dict.fromkeys(tickers[1:]):
        places = {p: place for place, (p, t) in enumerate(zip(prices, tickers, strict=False)) if t == ticker and place}
        if set(_PRICES) <= set(places):
            columns = {"time": "0", **{name: str(places[column]) for column, name in _PRICES.items()}}
            series.append(Series(columns, Fact(ticker, "the line Ticker")))
    return _layout("header lines Price, Ticker, Date", sample, series, 3, "Adj Close" in prices) if series else None


def _layout(why: str, sample: Sample, series: list[Series], header: int, has_adjusted: bool) -> Layout:
    kinds = "splits" if has_adjusted else "splits and, unless auto_adjust=False, dividends"
    return Layout(
        why=f"{why} with {', '.join(_PRICES)}",
        series=series,
        clock="text",
        header=header,
        width=len(sample.rows[0]),
        label=Fact("start", "Yahoo"),
        may_be_running="Yahoo answers with the running bar as the last one",
        has_blanks=True,
        notes=[f"Yahoo's prices are adjusted for {kinds}: they are not the raw ones that Alpaca's would be"],
    )


FORMATS = (
    Format(
        "yfinance",
        "yfinance DataFrames, CSV",
        "https://ranaroussi.github.io/yfinance/reference/yfinance.functions.html",
        _recognise,
        symbol=symbols.yahoo,
    ),
)
