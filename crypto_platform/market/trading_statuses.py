"""The trading status: its fields, its wire format, the rules it must keep, and which of them halt a stock.

One Kafka message value is one status: Alpaca's own object with `symbol` in front: ``{"symbol":"AAPL","sc":"H",
"sm":"Trading Halt","rc":"T12","rm":"…","t":"2021-02-22T19:15:00Z","z":"C"}``. Alpaca tells them by its stream alone:
REST has no history of them, and a day that was not streamed does not know its halts.

https://docs.alpaca.markets/docs/real-time-stock-pricing-data, *Trading Status*: `sc` and `sm` status code and message,
`rc` and `rm` the reason's, `t` when, `z` the tape, of which the codes depend.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from crypto_platform.market.bars import SYMBOL_PATTERNS
from crypto_platform.market.dataset import MESSAGE_RULES, Dataset, Field, Rule, listed, missing_rules, symbol_rule

FIELDS = (
    Field("symbol", "symbol", "STRING", "VARCHAR"),
    Field("t", "status_at", "TIMESTAMP_NTZ", "TIMESTAMP_NTZ"),
    Field("sc", "status_code", "STRING", "VARCHAR"),
    Field("sm", "status_message", "STRING", "VARCHAR", required=False),
    Field("rc", "reason_code", "STRING", "VARCHAR", required=False),
    Field("rm", "reason_message", "STRING", "VARCHAR", required=False),
    Field("z", "tape", "STRING", "VARCHAR"),
)

# The status codes of the two plans, CTA's of the tapes A and B, UTP's of C and O.
_CTA = {
    "2": "Trading Halt",
    "3": "Resume",
    "5": "Price Indication",
    "6": "Trading Range Indication",
    "7": "Market Imbalance Buy",
    "8": "Market Imbalance Sell",
    "9": "Market On Close Imbalance Buy",
    "A": "Market On Close Imbalance Sell",
    "C": "No Market Imbalance",
    "D": "No Market On Close Imbalance",
    "E": "Short Sale Restriction",
    "F": "Limit Up-Limit Down",
}
_UTP = {
    "H": "Trading Halt",
    "Q": "Quotation Resumption",
    "T": "Trading Resumption",
    "P": "Volatility Trading Pause",
}
STATUS_CODES: dict[str, dict[str, str]] = {"A": _CTA, "B": _CTA, "C": _UTP, "O": _UTP}
# After the first nobody trades, after the second everybody; all others leave it as it is, quotations too.
_HALTS, _RESUMES = ("Trading Halt", "Volatility Trading Pause"), ("Resume", "Trading Resumption")


def _told_by(meanings: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (tape, code) for tape, codes in STATUS_CODES.items() for code, meaning in codes.items() if meaning in meanings
    )


# By tape and status code.
HALTING, RESUMING = _told_by(_HALTS), _told_by(_RESUMES)


def is_halted(tape: Any, code: Any) -> bool | None:
    """Whether a stock is halted after the status; None: the status does not tell, or is of no known code."""
    return True if (tape, code) in HALTING else False if (tape, code) in RESUMING else None


def among(codes: Iterable[tuple[str, str]]) -> str:
    """SQL that Spark and Snowflake both read: the status is one of these."""
    by_tape: dict[str, list[str]] = defaultdict(list)
    for tape, code in codes:
        by_tape[tape].append(code)
    return " OR ".join(f"tape = '{tape}' AND status_code IN {listed(told)}" for tape, told in by_tape.items())


def encode(symbol: str, status: Mapping[str, Any]) -> bytes:
    """One wire line (without a newline) of a status as Alpaca's JSON has it."""
    return orjson.dumps({"symbol": symbol, **status})


def rules() -> tuple[Rule, ...]:
    """The load's rules in the order they are tried, as `Dataset` says."""
    known = [(tape, code) for tape, codes in STATUS_CODES.items() for code in codes]
    return (
        *MESSAGE_RULES,
        *missing_rules(FIELDS),
        symbol_rule(SYMBOL_PATTERNS["us_equity"]),
        Rule("unknown tape", f"tape NOT IN {listed(STATUS_CODES)}"),
        Rule("unknown status_code of the tape", f"NOT ({among(known)})"),
        # The exchange's clock is another than the broker's.
        Rule("status_at is in the future", "status_at > record_time + INTERVAL 1 MINUTE"),
    )


TRADING_STATUSES = Dataset(
    name="trading_statuses",
    fields=FIELDS,
    key=("symbol", "status_at", "status_code"),
    time="status_at",
    rules=rules(),
)
