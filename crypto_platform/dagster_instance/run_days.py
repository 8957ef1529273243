"""The days that a run is for, as its tags name them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from crypto_platform.dagster_instance.internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from crypto_platform.market.day_ranges import Range


@dataclass(frozen=True)
class Days:
    """UTC days [start, end)."""

    start: date
    end: date

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "Days | None":
        """The days of a run, by its tags; None without partitions."""
        first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
        last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or tags.get(PARTITION_NAME_TAG)
        return cls.from_keys(first, last) if first and last else None

    @classmethod
    def from_keys(cls, first: str, last: str) -> "Days | None":
        """From partition keys, the last one included."""
        try:
            return cls(date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1))
        except ValueError:
            return None

    def covers(self, other: "Days") -> bool:
        return self.start <= other.start and other.end <= self.end

    def keys(self) -> set[str]:
        return {(self.start + timedelta(days=n)).isoformat() for n in range((self.end - self.start).days)}

    def __str__(self) -> str:
        one = self.end - self.start == timedelta(days=1)
        return f"{self.start}" if one else f"[{self.start}, {self.end})"


def range_tags(days: Range) -> dict[str, str]:
    """The tags of one run over the half-open range of days."""
    start, end = days
    return {
        ASSET_PARTITION_RANGE_START_TAG: start.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: (end - timedelta(days=1)).isoformat(),
    }
