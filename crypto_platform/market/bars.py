"""The bar: its fields, its wire format, the rules it must keep, and its types in Spark and Snowflake.

One line of the lake is one Kafka message value: Alpaca's own bar object with `symbol` and `timeframe` in
front: ``{"symbol":"BTC/USD","timeframe":"1Min","t":"2026-03-01T00:00:00Z","o":…,"h":…,"l":…,"c":…,"v":…,
"n":…,"vw":…}``.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import orjson

from crypto_platform.market.dataset import MESSAGE_RULES, Dataset, Field, Rule, missing_rules, symbol_rule

AssetClass = Literal["crypto", "us_equity"]

# Whose midnight begins a market's day: https://docs.alpaca.markets/reference/stockbars labels a stock's day by
# New York's, in UTC, and https://docs.alpaca.markets/reference/cryptobars-1 a coin's by that of UTC.
TIMEZONES: dict[AssetClass, str] = {"crypto": "UTC", "us_equity": "America/New_York"}
SECONDS_A_DAY = 86_400

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
# Alpaca's forms: BTC/USD; AAPL, BRK.B. Anything else never reaches a path, a URL or SQL.
SYMBOL_PATTERNS: dict[AssetClass, str] = {
    "crypto": r"[A-Z0-9]{2,10}/[A-Z0-9]{2,10}",
    "us_equity": r"[A-Z]{1,6}(\.[A-Z]{1,3})?",
}


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
    """A bar's length, in Alpaca's notation: even parts of an hour (`1Min`, `15Min`, `1Hour`), or `1Day`.

    A day begins at its market's midnight (`market_days.midnight`), 23 to 25 hours before the next; all shorter bars are
    counted from the epoch. Other timeframes are dbt's roll-ups of the base bars, never fetched as a feed of their own.
    """

    name: str
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """Parse Alpaca's notation.

        Raises:
            ValueError: not `<n>Min` with n dividing 60, nor `1Hour` or `1Day`.
        """
        if text == "1Day":
            return cls(text, SECONDS_A_DAY)
        match = re.fullmatch(r"([1-9][0-9]?)Min|1Hour", text)
        minutes = int(match[1] or 60) if match else 0
        if not match or 60 % minutes or match[1] == "60":
            raise ValueError(
                f"{text!r} is not a base timeframe: write 1Min, 5Min, 15Min, 30Min, 1Hour, 1Day or the like"
            )
        return cls(text, minutes * 60)

    @property
    def is_daily(self) -> bool:
        return self.seconds == SECONDS_A_DAY

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=self.seconds)


TIMEFRAMES = tuple(
    Timeframe.parse(name) for name in (*(f"{n}Min" for n in range(1, 60) if 60 % n == 0), "1Hour", "1Day")
)


def line_prefix(symbol: str, timeframe: str) -> bytes:
    """What `encode` puts in front of Alpaca's own fields."""
    return orjson.dumps({"symbol": symbol, "timeframe": timeframe})[:-1] + b","


def encode(prefix: bytes, bar: dict[str, Any]) -> bytes:
    """One wire line (without a newline) of a bar as Alpaca's JSON gave it; `prefix` from `line_prefix`."""
    return prefix + orjson.dumps(bar)[1:]


# By how much of itself a price may leave another by rounding.
TOLERANCE = 1e-9


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
    # Without volume a vwap of 0 says that there is none. A stock's day has the prices of regular hours alone, and its
    # vwap is of all hours.
    Rule(
        "vwap is outside of low and high",
        f"NOT (vwap = 0 AND volume = 0) AND (timeframe <> '1Day' OR contains(symbol, '/')) AND {_outside('vwap')}",
    ),
)
VALUE_RULES = (*PRICE_RULES, *VOLUME_RULES, *VWAP_RULES)


def rules() -> tuple[Rule, ...]:
    """The load's rules in the order they are tried, as `Dataset` says; they see `step_seconds` too."""
    # A stock's day begins at midnight in New York; whatever is shorter, and a coin's day, lies on UTC's clock.
    on_the_clock = (
        f"IF(step_seconds = {SECONDS_A_DAY} AND NOT contains(symbol, '/'), "
        f"from_utc_timestamp(CAST(bar_start AS TIMESTAMP), '{TIMEZONES['us_equity']}'), CAST(bar_start AS TIMESTAMP))"
    )
    return (
        *MESSAGE_RULES,
        *missing_rules(FIELDS),
        symbol_rule("|".join(SYMBOL_PATTERNS.values())),
        Rule("timeframe is not a base timeframe", "step_seconds IS NULL"),
        Rule(
            "bar_start is not on the timeframe's grid",
            f"unix_micros({on_the_clock}) % (step_seconds * 1000000L) <> 0",
        ),
        *VALUE_RULES,
        Rule("bar_start is in the future", "bar_start > record_time"),
    )


# The length of a bar's timeframe, NULL when it is not one.
_STEPS = " ".join(f"WHEN '{t.name}' THEN {t.seconds}" for t in TIMEFRAMES)

BARS = Dataset(
    name="bars",
    fields=FIELDS,
    key=("symbol", "timeframe", "bar_start"),
    time="bar_start",
    rules=rules(),
    derived=(f"CASE timeframe {_STEPS} END AS step_seconds",),
)
