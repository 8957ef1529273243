"""What a feed's records of each kind have in common: fields, rules, headers, and the names they go by."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

SCHEMA_VERSION = "1"

# Kafka headers of every message.
HEADER_SCHEMA_VERSION = "schema_version"
HEADER_SOURCE = "source"
HEADER_RUN_ID = "run_id"
HEADER_OBSERVED_AT = "observed_at"  # UTC, ISO 8601: when Alpaca was asked, or told it

SOURCES = ("rest", "stream", "stream_update")

# A feed's name becomes part of paths, topics and tables.
FEED_PATTERN = r"[a-z][a-z0-9_]{0,62}"


# An answer's bars share their moment: of ten thousand symbols a day it is one, or a few.
@lru_cache(maxsize=1024)
def format_time(moment: datetime) -> str:
    """UTC, ISO 8601 to the microsecond with Z, as the lake's header and the messages carry it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def check_feed(feed: str) -> str:
    """Return `feed` unchanged.

    Raises:
        ValueError: it is not a plain lower-case identifier.
    """
    if not re.fullmatch(FEED_PATTERN, feed):
        raise ValueError(f"{feed!r} is not a feed's name: write lower-case letters, digits and _ such as us_equity")
    return feed


@dataclass(frozen=True)
class Field:
    """One field of a record: its wire name, its column, its types, and whether a record is refused without it."""

    wire: str
    column: str
    spark: str
    snowflake: str
    required: bool = True


@dataclass(frozen=True)
class Rule:
    """A rule a record must keep: `broken` is SQL over its columns, true when it is broken."""

    reason: str
    broken: str


UNKNOWN_VERSION = "unknown schema version"
# What no message is loaded without, tried first.
MESSAGE_RULES = (
    Rule(UNKNOWN_VERSION, f"schema_version IS DISTINCT FROM '{SCHEMA_VERSION}'"),
    Rule("unknown source", "source IS NULL"),
    Rule("unreadable", "NOT readable"),
)


def missing_rules(fields: Iterable[Field]) -> tuple[Rule, ...]:
    """A rule for each of the required fields: it is there, and of its type."""
    return tuple(Rule(f"{f.column} is missing or unreadable", f"{f.column} IS NULL") for f in fields if f.required)


def symbol_rule(pattern: str) -> Rule:
    """The rule that `symbol` matches the whole of a regular expression."""
    # A raw literal, or Spark's parser takes the backslashes; \\z, because $ lets a line feed follow.
    return Rule("symbol is not of a known form", f"NOT symbol RLIKE r'^({pattern})\\z'")


def listed(names: Iterable[str]) -> str:
    """SQL: the names as a list for IN."""
    return "(" + ", ".join(f"'{name}'" for name in names) + ")"


def broken_rule(rules: Iterable[Rule]) -> str:
    """SQL: the reason of the first of `rules` that a record breaks, NULL for one that keeps them all."""
    cases = (f"WHEN {rule.broken} THEN '{rule.reason.replace(chr(39), chr(39) * 2)}'" for rule in rules)
    return f"CASE {' '.join(cases)} END"


@dataclass(frozen=True)
class Dataset:
    """One kind of records of a feed, on a topic and in a ledger of its own.

    `key`: the columns that tell records apart, of which the ledger keeps versions; `time`: the column, a time or a
    date, whose UTC day is the partition; `rules`: Spark SQL over the columns, what `derived` adds to them (Spark SQL),
    and `schema_version`, `source` (NULL when it is none of `SOURCES`), `readable` (the value is one JSON object whose
    fields are of the columns' types) and `record_time` (the broker's time of the message). The first rule that a
    record breaks is the reason it is rejected for.
    """

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    time: str
    rules: tuple[Rule, ...]
    derived: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that a new version of a record may change."""
        return tuple(f.column for f in self.fields if f.column not in self.key)

    def topic(self, feed: str) -> str:
        """The Kafka topic of a feed's records."""
        return f"market.{check_feed(feed)}.{self.name}"

    def ledger(self, feed: str) -> str:
        """The table of a feed's records in Snowflake, such as `RAW.CRYPTO_BARS`."""
        return f"RAW.{check_feed(feed).upper()}_{self.name.upper()}"

    @property
    def rejects(self) -> str:
        """The table in Snowflake of the messages of all feeds that were rejected, such as `RAW.REJECTED_BARS`."""
        return f"RAW.REJECTED_{self.name.upper()}"
