"""Parquet and CSV: a file of a symbol and month, or year where bars are days."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from gzip import GzipFile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from crypto_platform.export.formats import Partition, Writer
from crypto_platform.export.request import ExportRequest
from crypto_platform.research import MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source

VALUES = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
# Bars of a row group: 8 MB of values.
_GROUP = 128 * 1024


class _Table:
    """What the two have in common."""

    def check(self, request: ExportRequest, sources: Sequence[Source]) -> None:
        """They hold everything."""

    def period(self, request: ExportRequest) -> Period:
        return "year" if request.timeframe == "1Day" else "month"

    def attachments(
        self, request: ExportRequest, market: MarketData, sources: Sequence[Source]
    ) -> Iterable[tuple[str, bytes]]:
        return ()


class Parquet(_Table):
    """`bars/symbol=AAPL/year=2020/bars.parquet`: Hive's partitions, a `/` in a symbol as %2F; the columns but symbol.

    Times are timestamps in microseconds, UTC.
    """

    name = "parquet"
    columns = ("bar_start", *VALUES)

    def path(self, partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        symbol = quote(partition.symbol, safe="")
        return PurePosixPath("bars", f"symbol={symbol}", _hive(partition), "bars.parquet")

    def writer(self, partition: Partition, file: Path) -> Writer:
        return ParquetWriter(file)


class ParquetWriter:
    """A file of Parquet. Batches are gathered: a row group of each would be too small."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._batches: list[pa.RecordBatch] = []

    def write(self, bars: pa.RecordBatch) -> None:
        self._batches.append(bars)
        if sum(map(len, self._batches)) >= _GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd", write_page_index=True)
        self._writer.write_table(table)
        self._batches = []


class Csv(_Table):
    """`bars/BTC-USD_1Min_2026-03.csv`: RFC 4180 with a header, as `materialize --recordings` takes it.

    Times are ISO 8601 with Z, what the vendor does not give is empty, and floats have the digits that tell them apart.
    """

    name = "csv"
    columns = ("symbol", "bar_start", *VALUES)

    def __init__(self, gzip: bool = False) -> None:
        self._gzip = gzip

    def path(self, partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        symbol = partition.symbol.replace("/", "-")
        _, period = _hive(partition).split("=")
        suffix = ".csv.gz" if self._gzip else ".csv"
        return PurePosixPath("bars", f"{symbol}_{partition.timeframe}_{period}{suffix}")

    def writer(self, partition: Partition, file: Path) -> Writer:
        return _CsvWriter(file, self._gzip)


class _CsvWriter:
    def __init__(self, file: Path, gzip: bool) -> None:
        self._file = file.open("wb")
        # Without a name and a time, the same bars are the same bytes; level 9 takes three times as long as 6.
        self._stream: Any = GzipFile("", "wb", 6, self._file, mtime=0) if gzip else self._file
        self._writer: pa_csv.CSVWriter | None = None

    def write(self, bars: pa.RecordBatch) -> None:
        starts = pc.strftime(bars["bar_start"].cast(pa.timestamp("s", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
        names = ["symbol", "timestamp", *VALUES]
        rows = pa.RecordBatch.from_arrays([bars["symbol"], starts, *(bars[name] for name in VALUES)], names)
        if self._writer is None:
            options = pa_csv.WriteOptions(quoting_style="needed")
            self._writer = pa_csv.CSVWriter(self._stream, rows.schema, write_options=options)
        self._writer.write(rows)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._stream.close()
        self._file.close()


def _hive(partition: Partition) -> str:
    """Its period as Hive names it: year=2020, or month=2020-08."""
    if partition.period < 10_000:
        return f"year={partition.period}"
    year, month = divmod(partition.period, 100)
    return f"month={year}-{month:02}"
