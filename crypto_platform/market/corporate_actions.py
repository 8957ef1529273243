"""The corporate action: its fields, its wire format, the rules it must keep, and its types in Spark and Snowflake.

One line of the lake is one Kafka message value: one action as one flat JSON object of `FIELDS`. Alpaca's fifteen types
name the same things differently (`symbol`, `source_symbol`, `old_symbol`, `acquiree_symbol`); here they have one name,
and `body` keeps what Alpaca answered.
"""

import json
from collections.abc import Mapping
from typing import Any

from crypto_platform.market.bars import SYMBOL_PATTERNS
from crypto_platform.market.dataset import MESSAGE_RULES, Dataset, Field, Rule, listed, missing_rules, symbol_rule

FIELDS = (
    Field("action_id", "action_id", "STRING", "VARCHAR"),
    Field("action_type", "action_type", "STRING", "VARCHAR"),
    Field("symbol", "symbol", "STRING", "VARCHAR"),  # whose prices the action changes
    Field("process_date", "process_date", "DATE", "DATE"),  # when Alpaca books it: the partition
    Field("ex_date", "ex_date", "DATE", "DATE", required=False),  # the first day that trades without it
    Field("record_date", "record_date", "DATE", "DATE", required=False),
    Field("payable_date", "payable_date", "DATE", "DATE", required=False),
    Field("old_rate", "old_rate", "DOUBLE", "FLOAT", required=False),  # `new_rate` shares come for `old_rate`
    Field("new_rate", "new_rate", "DOUBLE", "FLOAT", required=False),
    Field("rate", "rate", "DOUBLE", "FLOAT", required=False),  # cash, or shares of a stock dividend, a share
    Field("is_special", "is_special", "BOOLEAN", "BOOLEAN", required=False),
    Field("is_foreign", "is_foreign", "BOOLEAN", "BOOLEAN", required=False),
    Field("new_symbol", "new_symbol", "STRING", "VARCHAR", required=False),
    Field("cusip", "cusip", "STRING", "VARCHAR", required=False),
    Field("new_cusip", "new_cusip", "STRING", "VARCHAR", required=False),
    Field("body", "body", "STRING", "VARCHAR"),  # the action as Alpaca answered, JSON
)

# https://docs.alpaca.markets/reference/corporateactions-1: the answer's arrays are named by the plurals.
ACTION_TYPES = (
    "forward_split",
    "reverse_split",
    "unit_split",
    "cash_dividend",
    "stock_dividend",
    "spin_off",
    "cash_merger",
    "stock_merger",
    "stock_and_cash_merger",
    "redemption",
    "name_change",
    "worthless_removal",
    "rights_distribution",
    "partial_call",
    "reorganization",
)
EXCHANGE_TYPES = ("forward_split", "reverse_split", "unit_split", "spin_off")  # new shares for old, by rates
SPLIT_TYPES = ("forward_split", "reverse_split", "unit_split", "stock_dividend")  # more or fewer shares of the same
DIVIDEND_TYPES = ("cash_dividend", "stock_dividend")

# Alpaca's names of a field, the first that an action has; a field that is not here has Alpaca's own name.
_ALPACA_NAMES = {
    "symbol": ("symbol", "source_symbol", "old_symbol", "acquiree_symbol"),
    "ex_date": ("ex_date", "effective_date"),
    "old_rate": ("old_rate", "source_rate", "acquiree_rate"),
    "new_rate": ("new_rate", "acquirer_rate"),
    "rate": ("rate", "cash_rate"),
    "is_special": ("special",),
    "is_foreign": ("foreign",),
    "new_symbol": ("new_symbol", "acquirer_symbol"),
    "cusip": ("cusip", "source_cusip", "old_cusip", "acquiree_cusip"),
    "new_cusip": ("new_cusip", "acquirer_cusip"),
}


def singular(plural: str) -> str:
    """The action type of an array of Alpaca's answer: `cash_dividends` holds `cash_dividend`; unknown ones likewise."""
    return plural.removesuffix("s")


def flatten(action_type: str, action: Mapping[str, Any]) -> dict[str, Any]:
    """One action of Alpaca's answer by the wire names of `FIELDS`, every one there, None where Alpaca says nothing.

    Values stay as they are, however wrong, for `rules` to judge. An empty text says nothing: Alpaca writes
    one for the `new_symbol` of a reverse split that keeps its ticker. An action without an id is
    known by what it is: `<type>:<symbol>:<ex-date>:<rates>`.
    """
    flat = {f.wire: _first(action, _ALPACA_NAMES.get(f.wire, (f.wire,))) for f in FIELDS}
    return flat | {
        "action_id": _first(action, ("id",)) or _made_id(action_type, flat),
        "action_type": action_type,
        # The standard library's, which writes whatever it read: NaN, integers of any size, lone surrogates.
        "body": json.dumps(action, separators=(",", ":"), sort_keys=True),
    }


def encode(flat: Mapping[str, Any]) -> bytes:
    """One wire line (without a newline) of what `flatten` made."""
    return json.dumps(flat, separators=(",", ":")).encode()


def rules() -> tuple[Rule, ...]:
    """The load's rules in the order they are tried, as `Dataset` says."""
    return (
        *MESSAGE_RULES,
        # Before the fields, whose names an unknown type does not tell.
        Rule("unknown action_type", f"action_type NOT IN {listed(ACTION_TYPES)}"),
        *missing_rules(FIELDS),
        symbol_rule(SYMBOL_PATTERNS["us_equity"]),
        Rule(
            "old_rate or new_rate is not a positive number",
            f"action_type IN {listed(EXCHANGE_TYPES)} AND NOT ({_positive('old_rate')} AND {_positive('new_rate')})",
        ),
        Rule("rate is not a positive number", f"action_type IN {listed(DIVIDEND_TYPES)} AND NOT ({_positive('rate')})"),
        Rule(
            "a rate is not a number from zero up",
            " OR ".join(f"NOT ({r} >= 0 AND {r} < CAST('inf' AS DOUBLE))" for r in ("old_rate", "new_rate", "rate")),
        ),
        # Without its day it has no factor, and dropping it from the factors would pass for a day without an action.
        Rule(
            "ex_date is missing or unreadable",
            f"action_type IN {listed(EXCHANGE_TYPES + DIVIDEND_TYPES)} AND ex_date IS NULL",
        ),
    )


def _first(action: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((action[name] for name in names if action.get(name) not in (None, "")), None)


def _made_id(action_type: str, flat: Mapping[str, Any]) -> str:
    rates = (flat["old_rate"], flat["new_rate"], flat["rate"])
    day = flat["process_date"] if flat["ex_date"] is None else flat["ex_date"]
    return ":".join([action_type, str(flat["symbol"]), str(day), *(_plain(rate) for rate in rates if rate is not None)])


def _plain(rate: Any) -> str:
    """7 and 7.0 are one rate."""
    return str(rate).removesuffix(".0")


def _positive(column: str) -> str:
    """SQL: a number above zero; false, not NULL, without one."""
    return f"coalesce({column} > 0 AND {column} < CAST('inf' AS DOUBLE), false)"


CORPORATE_ACTIONS = Dataset(
    name="corporate_actions", fields=FIELDS, key=("action_id",), time="process_date", rules=rules()
)
