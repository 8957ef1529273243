import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.market.corporate_actions import (
    ACTION_TYPES,
    CORPORATE_ACTIONS,
    FIELDS,
    encode,
    flatten,
    rules,
    singular,
)
from crypto_platform.market.dataset import broken_rule

FIXTURES = Path(__file__).parents[1] / "fixtures" / "alpaca"
SCHEMAS = json.loads((FIXTURES / "openapi-market-data.json").read_text())["components"]["schemas"]
ANSWERS = [answer["body"] for answer in json.loads((FIXTURES / "rest-corporate-actions.json").read_text())]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(sorted({name for type_ in ACTION_TYPES for name in SCHEMAS[type_]["properties"]}))
alpaca_actions = st.dictionaries(names | st.text(max_size=8), json_values, max_size=12)


@settings(deadline=None)
@given(st.sampled_from(ACTION_TYPES) | st.text(max_size=10), alpaca_actions)
def test_a_line_has_every_field_and_the_body_whatever_alpaca_says(action_type: str, action: dict) -> None:
    flat = flatten(action_type, action)
    assert list(flat) == [f.wire for f in FIELDS]
    assert json.loads(flat["body"]) == action
    assert flat["action_id"]
    line = encode(flat)
    assert b"\n" not in line
    assert json.loads(line) == flat


@pytest.mark.parametrize("wrong", [float("nan"), 2**80, "\ud800", [1], {"a": 1}, "", None])
def test_a_wrong_value_reaches_the_load(wrong: Any) -> None:
    line = encode(flatten("cash_dividend", {"id": "x", "symbol": "AAPL", "rate": wrong}))
    rate = json.loads(line)["rate"]
    assert rate == (None if wrong == "" else wrong) or rate != rate


@pytest.mark.parametrize(
    ("action_type", "expected"),
    [
        ("forward_split", ("SRE", "2023-08-22", "2023-08-22", 1, 2, None, None)),
        ("reverse_split", ("MNTS", "2023-08-24", "2023-08-24", 50, 1, None, None)),
        ("unit_split", ("TPBAU", "2023-03-01", "2023-03-01", 1, 1, None, "LVRO")),
        ("cash_dividend", ("FCF", "2023-05-19", "2023-05-04", None, None, 0.125, None)),
        ("stock_dividend", ("MSBC", "2023-05-19", "2023-05-19", None, None, 0.05, None)),
        ("spin_off", ("JUPW", "2023-08-15", "2023-08-15", 19.35, 1, None, "SRM")),
        ("cash_merger", ("GLOP", "2023-07-17", "2023-07-17", None, None, 5.37, None)),
        ("stock_merger", ("LSI", "2023-07-20", "2023-07-20", 1, 0.895, None, "EXR")),
        ("stock_and_cash_merger", ("MLVF", "2023-07-18", "2023-07-18", 1, 0.7733, 7.8, "FRBA")),
        ("redemption", ("ORPHY", "2023-06-13", None, None, None, 0.141134, None)),
        ("name_change", ("BSAQ", "2023-08-15", None, None, None, None, "VFS")),
        ("worthless_removal", ("BLPH", "2024-12-19", None, None, None, None, None)),
        ("rights_distribution", ("IFN", "2024-04-19", "2024-04-17", None, None, 1, "IFN.RTWI")),
    ],
)
def test_the_specifications_examples_keep_their_meaning(action_type: str, expected: tuple) -> None:
    action = SCHEMAS[action_type]["example"]
    flat = flatten(action_type, action)
    told = ("symbol", "process_date", "ex_date", "old_rate", "new_rate", "rate", "new_symbol")
    assert tuple(flat[name] for name in told) == expected
    assert flat["action_id"] == action["id"]
    assert (flat["is_special"], flat["is_foreign"]) == (action.get("special"), action.get("foreign"))
    cusips = {value for name, value in action.items() if name.endswith("cusip") and not name.startswith("alternate")}
    assert {flat["cusip"], flat["new_cusip"]} - {None} == cusips


def test_the_types_are_those_of_the_specification() -> None:
    assert {singular(plural) for plural in SCHEMAS["corporate_actions"]["properties"]} == set(ACTION_TYPES)


def test_an_action_without_an_id_is_known_by_what_it_is() -> None:
    split = {"symbol": "AAPL", "new_rate": 7.0, "old_rate": 1, "ex_date": "2014-06-09", "process_date": "2014-06-09"}
    assert flatten("forward_split", split)["action_id"] == "forward_split:AAPL:2014-06-09:1:7"
    assert flatten("forward_split", split | {"new_rate": 7, "id": ""})["action_id"] == (
        "forward_split:AAPL:2014-06-09:1:7"
    )
    assert flatten("forward_split", split | {"new_rate": 4})["action_id"] == "forward_split:AAPL:2014-06-09:1:4"
    gone = {"symbol": "BLPH", "process_date": "2024-12-19"}
    assert flatten("worthless_removal", gone)["action_id"] == "worthless_removal:BLPH:2024-12-19"


def test_a_feed_gives_its_topic() -> None:
    assert CORPORATE_ACTIONS.topic("us_equity") == "market.us_equity.corporate_actions"


def judged(flat: dict[str, Any], **envelope: Any) -> str | None:
    """The reason of the first broken rule, by DuckDB in place of Spark."""
    values = {**flat, "schema_version": "1", "source": "rest", "readable": True, **envelope}
    types = {f.column: f.snowflake for f in FIELDS} | {"readable": "BOOLEAN"}
    columns = ", ".join(f"CAST(${name} AS {types.get(name, 'VARCHAR')}) AS {name}" for name in values)
    rule = sqlglot.transpile(f"SELECT {broken_rule(rules())} AS reason FROM action", read="spark", write="duckdb")[0]
    row = duckdb.connect().execute(f"WITH action AS (SELECT {columns}) {rule}", values).fetchone()
    assert row
    return row[0]


SPLIT = {"symbol": "SRE", "old_rate": 1, "new_rate": 2, "ex_date": "2023-08-22", "process_date": "2023-08-22"}
DIVIDEND = {"symbol": "FCF", "rate": 0.125, "ex_date": "2023-05-04", "process_date": "2023-05-19"}


@pytest.mark.parametrize("answer", ANSWERS, ids=["go", "py", "py-second-page"])
def test_what_alpaca_answered_is_accepted(answer: dict) -> None:
    flats = [flatten(singular(p), action) for p, array in answer["corporate_actions"].items() for action in array]
    assert flats
    assert [judged(flat) for flat in flats] == [None] * len(flats)


@pytest.mark.parametrize(
    ("action_type", "action", "reason"),
    [
        *(
            ("forward_split", SPLIT | {name: rate}, "old_rate or new_rate is not a positive number")
            for name in ("old_rate", "new_rate")
            for rate in (0, -1, None, float("nan"), float("inf"))
        ),
        ("spin_off", SPLIT | {"old_rate": None}, "old_rate or new_rate is not a positive number"),
        *(("cash_dividend", DIVIDEND | {"rate": r}, "rate is not a positive number") for r in (0, -0.1, None)),
        ("redemption", {**DIVIDEND, "rate": -1}, "a rate is not a number from zero up"),
        ("redemption", {**DIVIDEND, "rate": float("inf")}, "a rate is not a number from zero up"),
        ("mystery", SPLIT, "unknown action_type"),
        ("forward_split", SPLIT | {"symbol": None}, "symbol is missing or unreadable"),
        ("forward_split", SPLIT | {"process_date": None}, "process_date is missing or unreadable"),
        ("forward_split", SPLIT | {"ex_date": None}, "ex_date is missing or unreadable"),
        ("cash_dividend", DIVIDEND | {"ex_date": None}, "ex_date is missing or unreadable"),
        *(
            ("forward_split", SPLIT | {"symbol": symbol}, "symbol is not of a known form")
            for symbol in ("sre", "BTC/USD", "../etc", "SRE\n", "TOOLONGX")
        ),
        ("worthless_removal", {"symbol": "BRK.B", "process_date": "2024-12-19"}, None),
        ("redemption", {**DIVIDEND, "rate": 0}, None),
    ],
)
def test_what_breaks_a_rule_has_its_reason(action_type: str, action: dict, reason: str | None) -> None:
    assert judged(flatten(action_type, action)) == reason


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        ({"schema_version": "2"}, "unknown schema version"),
        ({"schema_version": None}, "unknown schema version"),
        ({"source": None}, "unknown source"),
        ({"readable": False}, "unreadable"),
    ],
)
def test_a_message_of_another_kind_has_its_reason(envelope: dict, reason: str) -> None:
    assert judged(flatten("forward_split", SPLIT), **envelope) == reason
