"""A data catalog of NautilusTrader: its Parquet of bars, and the instruments they are of.

Written in the schema of NautilusTrader 1.231 (`nautilus_trader.persistence.catalog.parquet`), without it: a number is a
128-bit integer, the value by 10^16, and a bar's time is that of its end. The tests have NautilusTrader read it.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crypto_platform.export.formats import Partition, Writer
from crypto_platform.export.request import ExportError, ExportRequest
from crypto_platform.export.tables import ParquetWriter
from crypto_platform.market.bars import TIMEZONES, Timeframe
from crypto_platform.research import MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source

VENUE = "ALPACA"
# Decimals of prices and sizes. A stock's raw price has four at the most.
RAW_STOCK, STOCK, COIN = (4, 0), (9, 0), (9, 9)
_FIXED = 16
_VALUES = ("open", "high", "low", "close", "volume")
_NUMBER = pa.binary(_FIXED)
# The most that a number may lose, of itself.
_LOSS = 1e-6


class Nautilus:
    """`data/bar/BTCUSD.ALPACA-1-MINUTE-LAST-EXTERNAL/<first>_<last>.parquet`: a month's or, of daily bars, a year's."""

    name = "nautilus"
    columns = ("bar_start", *_VALUES)

    def __init__(self, adjustment: str = "raw") -> None:
        self._is_raw = adjustment == "raw"

    def check(self, request: ExportRequest, sources: Sequence[Source]) -> None:
        """It holds everything."""

    def period(self, request: ExportRequest) -> Period:
        return "year" if request.timeframe == "1Day" else "month"

    def path(self, partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        ends = (_name(_end(partition, moment)) for moment in (first, last))
        return PurePosixPath("data", "bar", _bar_type(partition).replace("/", ""), f"{'_'.join(ends)}.parquet")

    def writer(self, partition: Partition, file: Path) -> Writer:
        return _BarWriter(partition, file, self._precision(partition.asset_class))

    def attachments(
        self, request: ExportRequest, market: MarketData, sources: Sequence[Source]
    ) -> Iterator[tuple[str, bytes]]:
        """The instruments, of the same decimals as the bars."""
        begun = _name(datetime(1970, 1, 1, tzinfo=UTC))
        for source in sources:
            price, size = self._precision(source.asset_class)
            for symbol in source.symbols:
                kind, row = _instrument(symbol, source.asset_class, price, size)
                path = f"data/{kind}/{symbol.replace('/', '')}.{VENUE}/{begun}_{begun}.parquet"
                yield path, row

    def _precision(self, asset_class: str) -> tuple[int, int]:
        if asset_class == "crypto":
            return COIN
        return RAW_STOCK if self._is_raw else STOCK


class _BarWriter:
    def __init__(self, partition: Partition, file: Path, precision: tuple[int, int]) -> None:
        self._partition, self._precision = partition, precision
        price, size = precision
        metadata = {
            "bar_type": _bar_type(partition),
            "instrument_id": f"{partition.symbol}.{VENUE}",
            "price_precision": str(price),
            "size_precision": str(size),
        }
        fields = [pa.field(name, _NUMBER, nullable=False) for name in _VALUES]
        times = [pa.field(name, pa.uint64(), nullable=False) for name in ("ts_event", "ts_init")]
        self._schema = pa.schema([*fields, *times], metadata)
        self._writer = ParquetWriter(file)

    def write(self, bars: pa.RecordBatch) -> None:
        price, size = self._precision
        numbers = [self._numbers(bars, name, size if name == "volume" else price) for name in _VALUES]
        ends = _ends(self._partition, bars["bar_start"])
        self._writer.write(pa.RecordBatch.from_arrays([*numbers, ends, ends], schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def _numbers(self, bars: pa.RecordBatch, name: str, decimals: int) -> pa.Array:
        """
        Raises:
            ExportError: a number has more decimals than there is room for.
        """
        values = bars[name].to_numpy()
        rounded = np.round(values, decimals)
        if (lost := np.abs(rounded - values) > _LOSS * np.abs(values)).any() and self._is_exact(name):
            place = int(np.flatnonzero(lost)[0])
            start = bars["bar_start"][place].as_py().isoformat()
            raise ExportError(
                f"{self._partition.symbol} at {start} has {name} {values[place]}, of which the catalog keeps "
                f"{decimals} decimals: leave the symbol out"
            )
        exact = pc.cast(pa.array(rounded), pa.decimal128(38, decimals), safe=False)
        scaled = pc.cast(exact, pa.decimal128(38, _FIXED))
        _, buffer = scaled.buffers()
        return pa.FixedSizeBinaryArray.from_buffers(_NUMBER, len(scaled), [None, buffer], offset=scaled.offset)

    def _is_exact(self, name: str) -> bool:
        """Whether rounding loses what was traded: adjusted volume is no whole number of shares."""
        return name != "volume" or self._precision != STOCK


def _bar_type(partition: Partition) -> str:
    if partition.timeframe == "1Day":
        step = "1-DAY"
    elif partition.timeframe == "1Hour":
        step = "1-HOUR"
    else:
        step = f"{Timeframe.parse(partition.timeframe).seconds // 60}-MINUTE"
    return f"{partition.symbol}.{VENUE}-{step}-LAST-EXTERNAL"


def _ends(partition: Partition, starts: pa.Array) -> pa.Array:
    """When the bars end, in nanoseconds since 1970: a day's is its market's next midnight."""
    if partition.timeframe == "1Day":
        moments = [_end(partition, start) for start in starts.to_pylist()]
        micros = pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.int64())
    else:
        micros = pc.add(starts.cast(pa.int64()), Timeframe.parse(partition.timeframe).seconds * 10**6)
    return pc.multiply(micros, 1000).cast(pa.uint64())


def _end(partition: Partition, start: datetime) -> datetime:
    timeframe = Timeframe.parse(partition.timeframe)
    if not timeframe.is_daily:
        return start + timeframe.delta
    zone = ZoneInfo(TIMEZONES["crypto" if partition.asset_class == "crypto" else "us_equity"])
    tomorrow = start.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, datetime.min.time(), zone).astimezone(UTC)


def _name(moment: datetime) -> str:
    """As the catalog writes a time in a file's name: 2026-03-01T00-01-00-000000000Z."""
    return f"{moment:%Y-%m-%dT%H-%M-%S}-{moment.microsecond * 1000:09}Z"


def _instrument(symbol: str, asset_class: str, price: int, size: int) -> tuple[str, bytes]:
    """The folder of its kind, and a Parquet file of its one row."""
    common = {"id": f"{symbol}.{VENUE}", "raw_symbol": symbol}
    rest: dict[str, Any] = {
        **dict.fromkeys(("margin_init", "margin_maint", "maker_fee", "taker_fee"), "0"),
        "info": b"null",
        "ts_event": 0,
        "ts_init": 0,
    }
    if asset_class == "crypto":
        base, quote = symbol.split("/")
        limits = ("lot_size", "max_quantity", "min_quantity", "max_notional", "min_notional", "max_price", "min_price")
        row = {
            **common,
            "base_currency": base,
            "quote_currency": quote,
            "price_precision": price,
            "size_precision": size,
            "price_increment": _increment(price),
            "size_increment": _increment(size),
            "multiplier": "1",
            **dict.fromkeys(limits),
            **rest,
        }
        return "currency_pair", _parquet("CurrencyPair", row)
    row = {
        **common,
        "currency": "USD",
        "price_precision": price,
        "price_increment": _increment(price),
        "lot_size": "1",
        **dict.fromkeys(("max_quantity", "min_quantity", "isin")),
        **rest,
    }
    return "equity", _parquet("Equity", row)


def _increment(decimals: int) -> str:
    return np.format_float_positional(10.0**-decimals, trim="-")


def _parquet(kind: str, row: dict[str, Any]) -> bytes:
    plain = ("raw_symbol", "isin", "margin_init", "margin_maint", "maker_fee", "taker_fee")
    numbers = {
        "price_precision": pa.uint8(),
        "size_precision": pa.uint8(),
        "ts_event": pa.uint64(),
        "ts_init": pa.uint64(),
    }
    kinds = {
        **dict.fromkeys(row, pa.dictionary(pa.int16(), pa.string())),
        "id": pa.dictionary(pa.int64(), pa.string()),
        **dict.fromkeys((name for name in plain if name in row), pa.string()),
        **{name: found for name, found in numbers.items() if name in row},
        "info": pa.binary(),
    }
    schema = pa.schema(list(kinds.items()), {"class": kind})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array([row[name]], kinds[name]) for name in kinds}, schema=schema), sink)
    return sink.getvalue().to_pybytes()
