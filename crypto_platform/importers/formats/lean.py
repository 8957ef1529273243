"""QuantConnect Lean's trade bars, zip and CSV.

https://github.com/QuantConnect/Lean/blob/master/Data/equity/readme.md: New York's clock, prices in ten-thousandths of
a dollar; https://github.com/QuantConnect/Lean/blob/master/Data/crypto/readme.md: UTC, prices as they are. Minutes are
in `<date>_trade.zip` with one `<date>_<symbol>_minute_trade.csv`, times in milliseconds since midnight; hours and days
in `<symbol>[_trade].zip` with one `<symbol>.csv`, times as YYYYMMDD HH:MM.
"""

import re
from collections.abc import Callable
from datetime import date, datetime

from crypto_platform.importers import symbols
from crypto_platform.importers.layout import FILE_NAME, NEW_YORK, UTC, Fact, Format, Layout, Series
from crypto_platform.importers.sample import Sample
from crypto_platform.importers.source import RefusedError
from crypto_platform.market.bars import AssetClass

_COLUMNS = ("time", "open", "high", "low", "close", "volume")
_QUOTES = 11
_OF_A_DAY = re.compile(r"(\d{8})_([a-z0-9.]+)_(second|minute)_(trade|quote)", re.IGNORECASE)
_DATED = re.compile(r"\d{8} \d{2}:\d{2}")
_MILLISECONDS = re.compile(r"\d{1,8}")
_TIMEFRAMES = {"minute": "1Min", "second": "1 second", "hour": "1Hour", "daily": "1Day"}
_DECIMALS = 4


def _recogniser(asset_class: AssetClass) -> Callable[[Sample], Layout | None]:
    """Both classes have the same layout; folder, symbol and fractions of prices tell them apart."""

    def recognise(sample: Sample) -> Layout | None:
        rows = [row for row in sample.rows if len(row) in (len(_COLUMNS), _QUOTES)]
        if sample.kind != "CSV" or not rows:
            return None
        name = _OF_A_DAY.fullmatch(sample.source.name.removesuffix(".csv"))
        first = rows[0][0] or ""
        dated = bool(_DATED.fullmatch(first))
        if not dated and not (name and _MILLISECONDS.fullmatch(first)):
            return None
        symbol = name[2] if name else sample.source.stem
        if _asset_class(sample, symbol, rows) != asset_class:
            return None
        if len(rows[0]) == _QUOTES:
            raise RefusedError(f"{sample.source}: Lean's quotes: bars are made of trades, take the {_TRADES}")
        equity = asset_class == "us_equity"
        clock = "YYYYMMDD HH:MM" if dated else "milliseconds since midnight"
        return Layout(
            why=f"6 columns, {clock}, prices {'x 10,000' if equity else 'as they are'}",
            series=[Series({column: str(place) for place, column in enumerate(_COLUMNS)}, _symbol(symbol))],
            clock="text" if dated else "milliseconds of the day",
            width=len(_COLUMNS),
            time_format="%Y%m%d %H:%M",
            day=_date(sample, name[1]) if name else None,
            timeframe=_timeframe(sample, name),
            zone=Fact(NEW_YORK if equity else UTC, "Lean"),
            label=Fact("start", "Lean"),
            decimals=_DECIMALS if equity else 0,
        )

    return recognise


_TRADES = "file that is named _trade"


def _symbol(symbol: str) -> Fact:
    return Fact(symbol, FILE_NAME)


def _date(sample: Sample, digits: str) -> date:
    try:
        return datetime.strptime(digits, "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:
        raise RefusedError(f"{sample.source}: {digits} in its name is no date such as 20140605") from None


def _asset_class(sample: Sample, symbol: str, rows: list[list[str | None]]) -> AssetClass | None:
    """By the folder where there is one, else by the symbol; a fraction of a ten-thousandth there is none."""
    folders = sample.source.folders
    if "equity" in folders or "crypto" in folders:
        return "us_equity" if "equity" in folders else "crypto"
    try:
        _, found = symbols.known(symbol.upper())
    except ValueError:
        return None
    whole = all((price or "").isdigit() for row in rows for price in row[1:5])
    return found if whole or found == "crypto" else None


def _timeframe(sample: Sample, name: re.Match[str] | None) -> Fact | None:
    if name:
        return Fact(_TIMEFRAMES[name[3].lower()], FILE_NAME)
    folder = next((part for part in reversed(sample.source.folders) if part in ("hour", "daily")), None)
    return Fact(_TIMEFRAMES[folder], f"the folder {folder}") if folder else None


def _format(name: str, what: str, asset_class: AssetClass, folder: str) -> Format:
    return Format(
        name,
        f"QuantConnect Lean, {what}, zip and CSV",
        f"https://github.com/QuantConnect/Lean/blob/master/Data/{folder}/readme.md",
        _recogniser(asset_class),
        symbol=str.upper,
        asset_class=asset_class,
    )


FORMATS = (
    _format("lean-equity", "US equity", "us_equity", "equity"),
    _format("lean-crypto", "crypto", "crypto", "crypto"),
)
