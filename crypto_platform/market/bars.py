"""The bar: its fields, its wire format, the rules it must keep, and its types in Spark and Snowflake.

One line of the lake is one Kafka message value: Alpaca's own bar object with `symbol` and `timeframe` in
front: ``{"symbol":"BTC/USD","timeframe":"1Min","t":"2026-03-01T00:00:00Z","o":…,"h":…,"l":…,"c":…,"v":…,
"n":…,"vw":…}``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import orjson

AssetClass = Literal["crypto", "us_equity"]

SCHEMA_VERSION = "1"


@dataclass(frozen=True)
class Field:
    """One field of a bar: its wire name, its column, its types, and whether a bar is refused without it."""

    wire: str
    column: str
    spark: str
    snowflake: str
    required: bool = True


# https://docs.alpaca.markets/reference/stockbars: t start of the bar, v volume, n trade count, vw VWAP.
# `n` and `vw` may be absent (older websocket frames, recordings of other vendors).
FIELDS = (
    Field("symbol", "symbol", "STRING", "VARCHAR"),
    Field("timeframe", "timeframe", "STRING", "VARCHAR"),
    Field("t", "bar_start", "TIMESTAMP_NTZ", "TIMESTAMP_NTZ"),
    Field("o", "open", "DOUBLE", "FLOAT"),
    Field("h", "high", "DOUBLE", "FLOAT"),
    Field("l", "low", "DOUBLE", "FLOAT"),
    Field("c", "close", "DOUBLE", "FLOAT"),
    Field("v", "volume", "DOUBLE", "FLOAT"),
    Field("n", "trade_count", "BIGINT", "NUMBER(38, 0)", required=False),
    Field("vw", "vwap", "DOUBLE", "FLOAT", required=False),
)
KEY_COLUMNS = ("symbol", "timeframe", "bar_start")
VALUE_COLUMNS = tuple(f.column for f in FIELDS if f.column not in KEY_COLUMNS)

# Kafka headers of every message.
HEADER_SCHEMA_VERSION = "schema_version"
HEADER_SOURCE = "source"
HEADER_RUN_ID = "run_id"
HEADER_OBSERVED_AT = "observed_at"  # UTC, ISO 8601: when Alpaca was asked, or told it

SOURCES = ("rest", "stream", "stream_update")

# Alpaca's forms: BTC/USD; AAPL, BRK.B. Anything else never reaches a path, a URL or SQL.
SYMBOL_PATTERNS: dict[AssetClass, str] = {
    "crypto": r"[A-Z0-9]{2,10}/[A-Z0-9]{2,10}",
    "us_equity": r"[A-Z]{1,6}(\.[A-Z]{1,3})?",
}

# A feed's name becomes part of paths, topics and tables.
FEED_PATTERN = r"[a-z][a-z0-9_]{0,62}"


def check_feed(feed: str) -> str:
    """Return `feed` unchanged.

    Raises:
        ValueError: it is not a plain lower-case identifier.
    """
    if not re.fullmatch(FEED_PATTERN, feed):
        raise ValueError(f"{feed!r} is not a feed's name: write lower-case letters, digits and _ such as us_equity")
    return feed


def topic(feed: str) -> str:
    """The Kafka topic of a feed."""
    return f"market.{feed}.bars"


def check_symbol(symbol: str, asset_class: AssetClass) -> str:
    """Return `symbol` unchanged.

    Raises:
        ValueError: it is not of the asset class's form.
    """
    if not re.fullmatch(SYMBOL_PATTERNS[asset_class], symbol):
        form = {"crypto": "BASE/QUOTE such as BTC/USD", "us_equity": "a ticker such as AAPL or BRK.B"}[asset_class]
        raise ValueError(f"{symbol!r} is not a symbol of asset class {asset_class}: write {form}")
    return symbol


@dataclass(frozen=True)
class Timeframe:
    """A bar's length, in Alpaca's notation (`1Min`, `15Min`, `1Hour`), restricted to even parts of an hour.

    Longer timeframes are dbt's roll-ups of the base bars, never fetched as a feed of their own.
    """

    name: str
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """Parse Alpaca's notation.

        Raises:
            ValueError: not `<n>Min` with n dividing 60, nor `1Hour`.
        """
        match = re.fullmatch(r"([1-9][0-9]?)Min|1Hour", text)
        minutes = int(match[1] or 60) if match else 0
        if not match or 60 % minutes or match[1] == "60":
            raise ValueError(f"{text!r} is not a base timeframe: write 1Min, 5Min, 15Min, 30Min, 1Hour or the like")
        return cls(text, minutes * 60)

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=self.seconds)


def _is_even_part_of_an_hour(name: str) -> bool:
    try:
        return bool(Timeframe.parse(name))
    except ValueError:
        return False


TIMEFRAMES = tuple(
    Timeframe.parse(name) for name in (*(f"{n}Min" for n in range(1, 60)), "1Hour") if _is_even_part_of_an_hour(name)
)


def line_prefix(symbol: str, timeframe: str) -> bytes:
    """What `encode` puts in front of Alpaca's own fields."""
    return orjson.dumps({"symbol": symbol, "timeframe": timeframe})[:-1] + b","


def encode(prefix: bytes, bar: dict[str, Any]) -> bytes:
    """One wire line (without a newline) of a bar as Alpaca's JSON gave it; `prefix` from `line_prefix`."""
    return prefix + orjson.dumps(bar)[1:]


# By how much of itself a price may leave another by rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Rule:
    """A rule a bar must keep: `broken` is SQL over the bar's columns, true when it is broken."""

    reason: str
    broken: str


def _outside(price: str) -> str:
    return f"{price} NOT BETWEEN low * {1 - TOLERANCE} AND high * {1 + TOLERANCE}"


_PRICES = ("open", "high", "low", "close")
_FINITE_POSITIVE = " AND ".join(f"{p} > 0 AND {p} < CAST('inf' AS DOUBLE)" for p in _PRICES)

# What a bar can be, in SQL that Spark and Snowflake both read: the load refuses what breaks these, the ledger's check
# and dbt (`macros/bar_rules.sql`, made of them) ask the same. A NULL breaks none.
PRICE_RULES = (
    Rule("a price is not a positive number", f"NOT ({_FINITE_POSITIVE})"),
    Rule("high is below low", f"high < low * {1 - TOLERANCE}"),
    Rule("open is outside of low and high", _outside("open")),
    Rule("close is outside of low and high", _outside("close")),
)
VOLUME_RULES = (
    Rule("volume is not a number from zero up", "NOT (volume >= 0 AND volume < CAST('inf' AS DOUBLE))"),
    Rule("trade_count is negative", "trade_count < 0"),
)
VWAP_RULES = (
    Rule("vwap is not a number from zero up", "NOT (vwap >= 0 AND vwap < CAST('inf' AS DOUBLE))"),
    # Without volume a vwap of 0 says that there is none.
    Rule("vwap is outside of low and high", f"NOT (vwap = 0 AND volume = 0) AND {_outside('vwap')}"),
)
VALUE_RULES = (*PRICE_RULES, *VOLUME_RULES, *VWAP_RULES)


def broken_rule(rules: Iterable[Rule]) -> str:
    """SQL: the reason of the first of `rules` that a bar breaks, NULL for a bar that keeps them all."""
    cases = (f"WHEN {rule.broken} THEN '{rule.reason.replace(chr(39), chr(39) * 2)}'" for rule in rules)
    return f"CASE {' '.join(cases)} END"


def rules(asset_classes_pattern: str | None = None) -> tuple[Rule, ...]:
    """The load's rules in the order they are tried; the first broken one is the reason a bar is rejected.

    They are Spark SQL, the session in UTC, and see the bar's columns plus `schema_version`, `source` (NULL when it is
    none of `SOURCES`), `readable` (the value is one JSON object whose fields are of the bar's types), `record_time`
    (the broker's time of the message) and `step_seconds` (the timeframe's length, NULL when it is not one).
    """
    pattern = asset_classes_pattern or "|".join(SYMBOL_PATTERNS.values())
    missing = [f for f in FIELDS if f.required]
    return (
        Rule("unknown schema version", f"schema_version IS DISTINCT FROM '{SCHEMA_VERSION}'"),
        Rule("unknown source", "source IS NULL"),
        Rule("unreadable", "NOT readable"),
        *(Rule(f"{f.column} is missing or unreadable", f"{f.column} IS NULL") for f in missing),
        # A raw literal, or Spark's parser takes the backslashes; \\z, because $ lets a line feed follow.
        Rule("symbol is not of a known form", f"NOT symbol RLIKE r'^({pattern})\\z'"),
        Rule("timeframe is not a base timeframe", "step_seconds IS NULL"),
        Rule(
            "bar_start is not on the timeframe's grid",
            "unix_micros(CAST(bar_start AS TIMESTAMP)) % (step_seconds * 1000000) <> 0",
        ),
        *VALUE_RULES,
        Rule("bar_start is in the future", "bar_start > record_time"),
    )
