"""Bars on their way from the files to the folder: in memory up to a limit, the rest on disk, by output file."""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crypto_platform.sandbox.alpaca.timeframes import Timeframe

# Of bars that wait; a file of the folder is then merged by itself.
MEMORY = 128 << 20

VALUES = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
# `time`: start, ns since the epoch, UTC; values: texts with the file's digits; `file`: its place among those imported.
SCHEMA = pa.schema(
    [
        ("time", pa.int64()),
        *((name, pa.string()) for name in VALUES),
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]
)


_FILE_NAME = re.compile(r"([A-Z0-9.]+(?:-[A-Z0-9]+)?)_(\d+(?:Min|Hour|Day|Week|Month))(?:_(\d{4}))?\.csv\.gz")


@dataclass(frozen=True, order=True)
class Partition:
    """The bars that one file of the folder holds: of a symbol and timeframe, and of a UTC year where they are shorter
    than a day."""

    symbol: str
    timeframe: str
    year: int | None

    @property
    def file_name(self) -> str:
        parts = (self.symbol.replace("/", "-"), self.timeframe, *([str(self.year)] if self.year else ()))
        return f"{'_'.join(parts)}.csv.gz"

    @classmethod
    def of_name(cls, name: str) -> "Partition | None":
        """The partition whose file has that name; None: no import writes it."""
        match = _FILE_NAME.fullmatch(name)
        return cls(match[1].replace("-", "/"), match[2], int(match[3]) if match[3] else None) if match else None


def partitions(symbol: str, timeframe: Timeframe, times: NDArray[np.int64]) -> dict[Partition, NDArray[np.bool_]]:
    """Which of the times (ns, UTC) are in which partition."""
    if not timeframe.intraday:
        return {Partition(symbol, str(timeframe), None): np.ones(len(times), bool)}
    years = times.astype("M8[ns]").astype("M8[Y]").astype(np.int64) + 1970
    return {Partition(symbol, str(timeframe), year): years == year for year in np.unique(years).tolist()}


class Spool:
    """Tables of `SCHEMA` by partition."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[Partition, list[pa.Table]] = defaultdict(list)
        self._files: dict[Partition, Path] = {}
        self._bytes = 0

    def add(self, partition: Partition, table: pa.Table) -> None:
        """Raises OSError where the disk is full."""
        self._waiting[partition].append(table)
        self._bytes += table.nbytes
        if self._bytes > MEMORY:
            self._flush()

    def _flush(self) -> None:
        for partition, tables in self._waiting.items():
            path = self._files.setdefault(partition, self._folder / f"{len(self._files)}.arrows")
            with path.open("ab") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
                for table in tables:
                    stream.write_table(table)
        self._waiting.clear()
        self._bytes = 0

    @property
    def partitions(self) -> list[Partition]:
        return sorted({*self._waiting, *self._files}, key=lambda p: (p.symbol, p.timeframe, p.year or sys.maxsize))

    def take(self, partition: Partition) -> pa.Table:
        """The partition's bars in the order of the files; they are in the spool no more."""
        tables = []
        if path := self._files.pop(partition, None):
            with path.open("rb") as file:
                while file.peek(1):
                    tables.append(pa.ipc.open_stream(file).read_all())
            path.unlink()
        return pa.concat_tables([*tables, *self._waiting.pop(partition, [])], promote_options="none")
