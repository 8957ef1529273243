"""QuantConnect's Lean: its zips of bars, with the factor files and map files of stocks.

https://github.com/QuantConnect/Lean/blob/master/Data/equity/readme.md and Data/crypto/readme.md have the layout. Prices
of stocks are in ten-thousandths of a dollar and times in New York's; Lean adjusts raw prices by the factor files.
"""

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crypto_platform.export.formats import Partition, Writer
from crypto_platform.export.request import ExportError, ExportRequest
from crypto_platform.market.bars import TIMEZONES
from crypto_platform.research import MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source

RESOLUTIONS = {"1Min": "minute", "1Hour": "hour", "1Day": "daily"}
# Where Lean's model of Alpaca's brokerage looks for coins.
CRYPTO_MARKET = "coinbase"
# The day until which the newest row of a factor or map file holds.
END = "20501231"
_SCALE = 10_000
# Of zip's own times there is none before; the same bars are the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class Lean:
    """Lean's folder of data, to be merged into the one that has its market hours and symbol properties.

    Bars of minutes are a zip a day; those of hours and days one a symbol. A ticker's zip has its bars under that
    ticker, whichever company had it; map files say which ticker was a company's when.
    """

    name = "lean"
    columns = ("bar_start", "open", "high", "low", "close", "volume")

    def check(self, request: ExportRequest, sources: Sequence[Source]) -> None:
        if request.timeframe not in RESOLUTIONS:
            raise ExportError(
                f"Lean has no bars of {request.timeframe}, but of {', '.join(RESOLUTIONS)}, of which it makes others"
            )
        if request.adjustment != "raw":
            raise ExportError("Lean adjusts prices itself, by the factor files: export raw bars, --adjustment raw")

    def period(self, request: ExportRequest) -> Period:
        return "session" if request.timeframe == "1Min" else "all"

    def path(self, partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        resolution, name = RESOLUTIONS[partition.timeframe], _name(partition.symbol)
        is_coin = partition.asset_class == "crypto"
        folder = PurePosixPath("crypto", CRYPTO_MARKET) if is_coin else PurePosixPath("equity", "usa")
        if resolution == "minute":
            return folder / resolution / name / f"{partition.period}_trade.zip"
        return folder / resolution / (f"{name}_trade.zip" if is_coin else f"{name}.zip")

    def writer(self, partition: Partition, file: Path) -> Writer:
        return _ZipWriter(partition, file)

    def attachments(
        self, request: ExportRequest, market: MarketData, sources: Sequence[Source]
    ) -> Iterator[tuple[str, bytes]]:
        """The factor file and the map file of each stock that has one of the tickers now, or had it last."""
        for source in sources:
            if source.asset_class == "crypto":
                continue
            history = market.symbol_history(source.symbols, source.feed).to_pylist()
            tickers = sorted({row["symbol"] for row in history})
            known = market.symbols(source.feed)["symbol"].to_pylist()
            actions = market.actions(
                [ticker for ticker in tickers if ticker in known], as_of=request.as_of, feed=source.feed
            ).to_pylist()
            for name, periods in sorted(_securities(history).items()):
                own = [action for action in actions if action["status"] == "applied" and _is_of(action, periods)]
                yield f"equity/usa/factor_files/{name}.csv", _text(factor_rows(periods, own))
                yield f"equity/usa/map_files/{name}.csv", _text(map_rows(periods))


class _ZipWriter:
    """One CSV in a zip, without a header."""

    def __init__(self, partition: Partition, file: Path) -> None:
        self._partition = partition
        self._zone = TIMEZONES["crypto" if partition.asset_class == "crypto" else "us_equity"]
        self._archive = zipfile.ZipFile(file, "w")
        entry = zipfile.ZipInfo(_entry(partition), _NO_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._entry = self._archive.open(entry, "w", force_zip64=True)

    def write(self, bars: pa.RecordBatch) -> None:
        local = pc.local_timestamp(bars["bar_start"].cast(pa.timestamp("us", self._zone)))
        if self._partition.timeframe == "1Min":
            midnight = pc.floor_temporal(local, unit="day")
            times = pc.divide(pc.subtract(local, midnight).cast(pa.int64()), 1000).cast(pa.string())
        else:
            times = pc.strftime(local.cast(pa.timestamp("s")), format="%Y%m%d %H:%M")
        prices = [self._prices(bars[name]) for name in ("open", "high", "low", "close")]
        rows = pc.binary_join_element_wise(times, *prices, _decimals(bars["volume"]), ",")
        self._entry.write("".join(f"{row}\n" for row in rows.to_pylist()).encode())

    def close(self) -> None:
        self._entry.close()
        self._archive.close()

    def _prices(self, column: pa.Array) -> pa.Array:
        if self._partition.asset_class == "crypto":
            return _decimals(column)
        return pa.array(np.rint(column.to_numpy() * _SCALE).astype(np.int64)).cast(pa.string())


def factor_rows(periods: Sequence[Mapping[str, Any]], actions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Of a security: day, factor of dividends, of splits, and the close of that day; each row holds until its day.

    `periods` are the security's rows of `MarketData.symbol_history`, `actions` those of `MarketData.actions` that are
    applied; a row is of the last day before an ex-date, back from a factor of 1.
    """
    by_day: dict[date, list[Mapping[str, Any]]] = defaultdict(list)
    for action in actions:
        if action["previous_bar_date"] is not None:
            by_day[action["previous_bar_date"]].append(action)
    rows, price, split = [f"{END},1,1,0"], 1.0, 1.0
    for day in sorted(by_day, reverse=True):
        for action in by_day[day]:
            price *= action["dividend_factor"] or 1
            split *= action["split_factor"] or 1
        close = next((action["previous_close"] for action in by_day[day] if action["previous_close"]), 0)
        rows.append(f"{day:%Y%m%d},{_decimal(price)},{_decimal(split)},{_decimal(close)}")
    if first := _first_bar(periods):
        rows.append(f"{first:%Y%m%d},{_decimal(price)},{_decimal(split)},1")
    return reversed(rows)


def map_rows(periods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of a security: the last day of each ticker, after the first day of the first; of one in use no end."""
    if first := _first_bar(periods):
        yield f"{first:%Y%m%d},{_name(periods[0]['symbol'])}"
    for period in periods:
        last = f"{period['valid_to'] - timedelta(days=1):%Y%m%d}" if period["valid_to"] else END
        yield f"{last},{_name(period['symbol'])}"


def _securities(history: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The periods of each security by the ticker that it had last; of a ticker of several, those of the newest."""
    periods: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in history:
        periods[row["security_id"]].append(row)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for own in sorted(periods.values(), key=lambda rows: rows[-1]["valid_from"] or date.min):
        found[_name(own[-1]["symbol"])] = own
    return found


def _is_of(action: Mapping[str, Any], periods: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the action is of the security: of one of its tickers, while that was its own."""
    return any(
        period["symbol"] == action["symbol"]
        and (period["valid_from"] or date.min) <= action["ex_date"] < (period["valid_to"] or date.max)
        for period in periods
    )


def _first_bar(periods: Iterable[Mapping[str, Any]]) -> date | None:
    return min((period["first_bar_date"] for period in periods if period["first_bar_date"]), default=None)


def _entry(partition: Partition) -> str:
    name = _name(partition.symbol)
    if partition.timeframe == "1Min":
        return f"{partition.period}_{name}_minute_trade.csv"
    return f"{name}.csv"


def _name(symbol: str) -> str:
    """As Lean writes a symbol in a path: aapl, brk.b, btcusd."""
    return symbol.replace("/", "").lower()


def _decimal(value: float) -> str:
    """Without an exponent, which Lean takes for infinite; whole numbers as such."""
    return np.format_float_positional(value, trim="-")


def _decimals(column: pa.Array) -> pa.Array:
    """The same of each value; Arrow's own text is quicker, but has an exponent of what is very large or small."""
    texts = column.cast(pa.string())
    if not pc.any(pc.match_substring(texts, "e")).as_py():
        return texts
    return pa.array([_decimal(value) for value in column.to_pylist()])


def _text(rows: Iterable[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()
