"""What is asked of an export, and why it may be refused."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crypto_platform.research.bars_query import Adjustment

# Before the first bar and after the last that can be: all there is.
EVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class ExportError(RuntimeError):
    """It cannot be exported; what was in the folder is as it was."""


@dataclass(frozen=True)
class ExportRequest:
    """Bars that begin in [start, end), UTC, into the folder `out`; without `symbols` all of the feed.

    `options` are a format's own.
    """

    out: Path
    symbols: tuple[str, ...] | None = None
    start: datetime = EVER[0]
    end: datetime = EVER[1]
    timeframe: str = "1Day"
    adjustment: Adjustment = "raw"
    as_of: datetime | None = None
    feed: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """What all files of a folder have in common, as JSON."""
        return {
            "timeframe": self.timeframe,
            "adjustment": self.adjustment,
            "as_of": self.as_of.astimezone(UTC).isoformat() if self.as_of else None,
            "feed": self.feed,
            **self.options,
        }


@dataclass(frozen=True)
class ExportReport:
    """What an export did, in partitions: files of a symbol and period."""

    written: int
    unchanged: int
    removed: int
    bars_written: int
    bars: int
    size: int
    """Bytes of all files."""
