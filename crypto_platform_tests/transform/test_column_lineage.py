import pytest
from sqlglot.errors import SqlglotError

from crypto_platform.transform.column_lineage import origins, schema

BARS = ("M", "RAW", "BARS")
MANIFEST = {
    "nodes": {
        "a": {
            "resource_type": "model",
            "database": "m",
            "schema": "MARTS",
            "alias": "days",
            "columns": {"day": {}, "close": {}},
        },
        "b": {"resource_type": "test", "columns": {}},
    }
}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("select close from m.raw.bars", {"CLOSE": {(*BARS, "CLOSE")}}),
        ("with b as (select high - low as span from m.raw.bars) select max(span) as most from b",
         {"MOST": {(*BARS, "HIGH"), (*BARS, "LOW")}}),
        ("select 1 as one, count(*) as n from m.raw.bars", {"ONE": set(), "N": set()}),
        ("select * from m.marts.days",
         {"DAY": {("M", "MARTS", "DAYS", "DAY")}, "CLOSE": {("M", "MARTS", "DAYS", "CLOSE")}}),
        ("with b as (select * from m.raw.bars) select low as least from b", {"LEAST": {(*BARS, "LOW")}}),
        ("select b.close / d.close as change from m.raw.bars as b join m.marts.days as d on b.day = d.day",
         {"CHANGE": {(*BARS, "CLOSE"), ("M", "MARTS", "DAYS", "CLOSE")}}),
        ("select close as price from m.raw.bars union all select day from m.marts.days",
         {"PRICE": {(*BARS, "CLOSE"), ("M", "MARTS", "DAYS", "DAY")}}),
        ("select (select max(d.day) from m.marts.days as d) as newest from m.raw.bars",
         {"NEWEST": {("M", "MARTS", "DAYS", "DAY")}}),
        ("with recursive r as (select low as n from m.raw.bars union all select n + 1 from r) select n from r",
         {"N": {(*BARS, "LOW")}}),
    ],
)  # fmt: skip
def test_columns_are_traced_to_tables(statement: str, expected: dict[str, set[tuple[str, ...]]]) -> None:
    assert origins(statement, schema(MANIFEST)) == expected


def test_what_is_no_query_is_an_error() -> None:
    with pytest.raises(SqlglotError):
        origins("select from where", {})
