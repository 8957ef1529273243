from datetime import datetime, timedelta
from typing import Any

import duckdb
import orjson
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.market.dataset import broken_rule
from crypto_platform.market.trading_statuses import (
    FIELDS,
    HALTING,
    RESUMING,
    STATUS_CODES,
    TRADING_STATUSES,
    among,
    encode,
    is_halted,
)

# https://docs.alpaca.markets/docs/real-time-stock-pricing-data, but for T and S.
EXAMPLE = {
    "sc": "H",
    "sm": "Trading Halt",
    "rc": "T12",
    "rm": "Trading Halted; For information requested by NASDAQ",
    "t": "2021-02-22T19:15:00Z",
    "z": "C",
}
NOON = datetime.fromisoformat("2026-03-02T12:00")
GOOD = {
    "symbol": "AAPL",
    "status_at": NOON,
    "status_code": "H",
    "tape": "C",
    "schema_version": "1",
    "source": "stream",
    "readable": True,
    "record_time": NOON,
}
TYPES = {f.column: f.spark for f in FIELDS} | {"schema_version": "STRING", "source": "STRING", "readable": "BOOLEAN"}
SQL = sqlglot.transpile(f"SELECT {broken_rule(TRADING_STATUSES.rules)}", read="spark", write="duckdb")[0]


def reason(**change: Any) -> str | None:
    """The first rule that a status breaks, by the rules' own SQL."""
    record = dict.fromkeys(TYPES) | GOOD | change
    columns = ", ".join(f"${name}::{TYPES.get(name, 'TIMESTAMP').replace('_NTZ', '')} AS {name}" for name in record)
    found = duckdb.connect().execute(f"{SQL} FROM (SELECT {columns})", record).fetchone()
    assert found
    return found[0]


def test_the_documented_example_is_a_halt_on_the_wire_as_alpaca_sent_it() -> None:
    line = encode("AAPL", EXAMPLE)
    assert orjson.loads(line) == {"symbol": "AAPL", **EXAMPLE}
    assert {f.wire for f in FIELDS} == {"symbol", *EXAMPLE}
    assert is_halted(EXAMPLE["z"], EXAMPLE["sc"])


@pytest.mark.parametrize(
    ("tape", "code", "halted"),
    [
        *((tape, code, halted) for tape in "AB" for code, halted in (("2", True), ("3", False), ("F", None))),
        *((tape, code, halted) for tape in "CO" for code, halted in (("H", True), ("P", True), ("T", False))),
        # Quotations are no trading.
        ("C", "Q", None),
        # Codes of the other plan.
        ("A", "H", None),
        ("C", "2", None),
        ("N", "H", None),
        (["C"], {"H": 1}, None),
        (None, None, None),
    ],
)
def test_which_statuses_halt_and_which_resume(tape: Any, code: Any, halted: bool | None) -> None:
    assert is_halted(tape, code) is halted


texts = st.sampled_from(["A", "B", "C", "O", "2", "3", "H", "P", "Q", "T", ""]) | st.text(max_size=3)


@pytest.mark.slow
@settings(deadline=None)
@given(texts, texts)
def test_the_load_and_dbt_agree_with_the_stream(tape: str, code: str) -> None:
    told = f"SELECT {among(HALTING)}, {among(RESUMING)} FROM (SELECT $tape AS tape, $code AS status_code)"
    halts, resumes = duckdb.connect().execute(told, {"tape": tape, "code": code}).fetchone() or (None, None)
    assert (halts, resumes) == (is_halted(tape, code) is True, is_halted(tape, code) is False)
    is_known = code in STATUS_CODES.get(tape, {})
    assert (reason(tape=tape, status_code=code) is None) == is_known
    if is_halted(tape, code) is not None:
        assert is_known


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"symbol": "BRK.B", "tape": "A", "status_code": "E"}, None),
        ({"status_message": None, "reason_code": "", "reason_message": "?"}, None),
        ({"schema_version": "2"}, "unknown schema version"),
        ({"source": None}, "unknown source"),
        ({"readable": False}, "unreadable"),
        ({"status_at": None}, "status_at is missing or unreadable"),
        ({"status_code": None}, "status_code is missing or unreadable"),
        ({"tape": None}, "tape is missing or unreadable"),
        ({"symbol": "BTC/USD"}, "symbol is not of a known form"),
        ({"tape": "N"}, "unknown tape"),
        ({"status_code": "2"}, "unknown status_code of the tape"),
        # The exchange's clock is another than the broker's.
        ({"status_at": NOON + timedelta(seconds=59)}, None),
        ({"status_at": NOON + timedelta(seconds=61)}, "status_at is in the future"),
    ],
)
def test_a_status_that_breaks_a_rule_says_which(change: dict[str, Any], says: str | None) -> None:
    assert reason(**change) == says
