"""What a run is about: its feed, its days, its assets, and the command that runs them again."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from crypto_platform.market.data_source import again, moves_on, simulated
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import Settings

# A command that an error names: in backticks, else up to the end of the sentence or the line.
_IN_BACKTICKS = re.compile(r"`(crypto-platform [^`]+)`")
_BARE = re.compile(r"""(crypto-platform(?:[ ](?:"[^"\n]*"|'[^'\n]*'|[^\s"'`]*[^\s"'`.,;:)]))+)""")


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


def feed_of(assets: Collection[dg.AssetKey], job: str = "") -> str:
    """The feed that a job or assets are of; empty when they are of none or of several."""
    if job in feeds():
        return job
    names = {name for key in assets for name in feeds() if key.path[-1] in (f"{name}_bars", f"stg_{name}__bars")}
    return names.pop() if len(names) == 1 else ""


def rerun(feed: str, days: Days | None) -> str:
    """The command that takes a feed's days through every stage again."""
    return again(feed, days.start, days.end) if feed and days else ""


def restart(settings: Settings, name: str) -> str:
    """The command that restarts a part of Dagster: code, daemon or dagster, the web server."""
    return f"{settings.restart_command} {name}"


def command_in(text: str) -> str:
    """The command of ours that an error names, if it names one."""
    found = _IN_BACKTICKS.search(text) or _BARE.search(text)
    return found[1] if found else ""


def origin(settings: Settings) -> str:
    """What the bars are, where they are not the market's."""
    return "simulated" if simulated(settings) else "" if moves_on(settings) else "recorded"


def first_line(text: str, longest: int = 300) -> str:
    """The first line that says something, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
