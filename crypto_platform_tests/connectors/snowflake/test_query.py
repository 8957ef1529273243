import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.snowflake.query import QueryError, Result, csv_lines, json_lines, query, text
from crypto_platform.settings import Settings

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(),
    st.dates(),
    st.binary(),
    st.text(st.characters(exclude_categories=["Cs"])),
)
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[VALUES] * width), min_size=1))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        ("", ""),
        (True, "true"),
        (Decimal("1.10"), "1.10"),
        (12345678901234567890123456789012345678, "12345678901234567890123456789012345678"),
        (0.1, "0.1"),
        (float("nan"), "nan"),
        (datetime.fromisoformat("2026-01-01T00:00:00.123456"), "2026-01-01 00:00:00.123456"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        (date(2026, 1, 1), "2026-01-01"),
        (b"\x00\xff", "00FF"),
    ],
)
def test_values_keep_all_they_hold(value: object, written: str | None) -> None:
    assert text(value) == written


@given(ROWS)
def test_csv_reads_back_as_it_was(rows: list[tuple[object, ...]]) -> None:
    columns = [f"C{n}" for n in range(len(rows[0]))]
    written = "".join(f"{line}\n" for line in csv_lines(Result(columns, rows)))
    read = list(csv.reader(io.StringIO(written, newline="")))
    if len(columns) > 1:
        assert read == [columns, *([text(value) or "" for value in row] for row in rows)]


def test_csv_tells_null_from_an_empty_string() -> None:
    assert list(csv_lines(Result(["A", "B"], [(None, ""), ('a "b"', "c,d")]))) == ["A,B", ',""', '"a ""b""","c,d"']


@given(ROWS)
def test_json_reads_back_as_it_was(rows: list[tuple[object, ...]]) -> None:
    columns = [f"C{n}" for n in range(len(rows[0]))]
    read = json.loads("\n".join(json_lines(Result(columns, rows))))
    for objects, row in zip(read, rows, strict=True):
        for found, value in zip(objects.values(), row, strict=True):
            exact = value is None or type(value) in (bool, int) or (type(value) is float and abs(value) < float("inf"))
            assert found == (value if exact else text(value))


def test_json_of_nothing_and_of_columns_with_one_name() -> None:
    assert "".join(json_lines(Result(["A"], []))) == "[]"
    assert json.loads("".join(json_lines(Result(["A", "A"], [(1, 2)])))) == [{"A": 1, "A_2": 2}]


def test_a_statement_s_rows(sandbox: Settings) -> None:
    with query(
        sandbox, "select 1.10::number(10, 2) as a, null as b, to_timestamp_ntz('2026-01-01 00:00:01') as c"
    ) as result:
        assert result.columns == ["A", "B", "C"]
        assert list(result.rows) == [(Decimal("1.10"), None, datetime.fromisoformat("2026-01-01T00:00:01"))]


def test_a_failing_statement_is_snowflake_s_own_message(sandbox: Settings) -> None:
    statement = "select no_such_column from (select 1)"
    with pytest.raises(QueryError, match=r"(?i)no_such_column"), query(sandbox, statement):
        pass
