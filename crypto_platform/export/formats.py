"""What a format of files is: how bars are cut into files, what these are called, and who writes one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from crypto_platform.export.request import EVER, ExportRequest
from crypto_platform.research import MarketData
from crypto_platform.research.bars_query import Period
from crypto_platform.research.catalog import Source


@dataclass(frozen=True)
class Partition:
    """A symbol's bars of a period, as `MarketData.bar_partitions` names it."""

    symbol: str
    asset_class: str
    timeframe: str
    period: int


class Writer(Protocol):
    """One file, in the order of time."""

    def write(self, bars: pa.RecordBatch) -> None:
        """Add bars, with the format's columns."""

    def close(self) -> None:
        """End the file."""


class Format(Protocol):
    """A format of files of bars."""

    @property
    def name(self) -> str:
        """As the manifest has it."""

    @property
    def columns(self) -> Sequence[str]:
        """Of `MarketData.bars`, those that a writer is given."""

    def check(self, request: ExportRequest, sources: Sequence[Source]) -> None:
        """
        Raises:
            ExportError: it cannot hold what is asked for.
        """

    def period(self, request: ExportRequest) -> Period:
        """By what bars are cut into files."""

    def writer(self, partition: Partition, file: Path) -> Writer:
        """Who writes the partition into a new file."""

    def path(self, partition: Partition, first: datetime, last: datetime) -> PurePosixPath:
        """The file's name in the folder, by the starts of its first and last bar."""

    def attachments(
        self, request: ExportRequest, market: MarketData, sources: Sequence[Source]
    ) -> Iterable[tuple[str, bytes]]:
        """Files beside the bars, of these symbols."""


def period_of(bars: pa.RecordBatch, by: Period) -> pa.Array:
    """The period of each bar, as `MarketData.bar_partitions` numbers it; of session the bars have `bar_date`."""
    if by == "all":
        return pa.array([0] * len(bars), pa.int64())
    days = bars["bar_date"] if by == "session" else bars["bar_start"]
    year = pc.year(days)
    if by == "year":
        return year
    month = pc.add(pc.multiply(year, 100), pc.month(days))
    return month if by == "month" else pc.add(pc.multiply(month, 100), pc.day(days))


def span(by: Period, period: int) -> tuple[datetime, datetime]:
    """A time [start, end), UTC, in which all bars of a period begin; of a session wider than its day."""
    if by == "all":
        return EVER
    if by == "year":
        return datetime(period, 1, 1, tzinfo=UTC), datetime(period + 1, 1, 1, tzinfo=UTC)
    if by == "month":
        year, month = divmod(period, 100)
        return datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    day = datetime.strptime(str(period), "%Y%m%d").replace(tzinfo=UTC)
    return day - timedelta(days=1), day + timedelta(days=2)
