"""Translations are fakesnow's own, whatever passes are left out."""

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import fakesnow.transforms
import pytest
from fakesnow import cursor
from fakesnow.dialect import parse_one
from fakesnow.instance import FakeSnow
from sqlglot import exp

from crypto_platform.sandbox.fakesnow_patches import statement_cache, transforms

STATEMENTS = [
    "select 1",
    "select sum(price)::number(38, 9) as total, max_by(price, at) from raw.bars where at >= %s group by symbol",
    "select symbol, row_number() over (partition by symbol order by at) as n from bars qualify n = 1",
    "select dateadd('day', 1, '2026-03-01'::date), datediff('second', '2026-03-01', at), to_date('2026-03-01')",
    "select to_timestamp(1700000000), to_decimal('1.5', 10, 2), trim(a), split(a, ','), sha2(a), sha2_hex(a) from bars",
    "select regexp_replace(a, 'b', 'c'), regexp_substr(a, 'x(y)', 1, 1, 'e', 1), array_size(parse_json(b)) from bars",
    "select try_parse_json(b):c[0].d::varchar, upper(b:c), object_construct('a', 1), array_construct(1, 2) from bars",
    "select f.value::varchar from bars, lateral flatten(input => bars.body) f",
    "select array_agg(a) within group (order by b), object_agg(a, b), haversine(1, 2, 3, 4), random(7) from bars",
    "select a as b from bars where b > 1 order by 1",
    "select * from (values (1, 'a'), (2, 'b'))",
    "select * from table(result_scan('x'))",
    "select count(*) from bars sample (10)",
    "select table_name from information_schema.tables where table_schema = 'RAW'",
    "select column_name from market.information_schema.columns where table_name = 'BARS'",
    "select x'00ff', current_version(), try_cast('1' as float), cast('2026-03-01 00:00:00+01:00' as timestamp_tz)",
    "with a as (select 1 as b) select a.b from a inner join bars as c on a.b = c.b",
    "create or replace table marts.t (a varchar(12) not null, b number, c timestamp_ntz, d variant, e float)",
    "create or replace transient table marts.t as (select 1 as a, 'b'::varchar(3) as b)",
    "create or replace view marts.v (a comment 'is a') as select 1 as a",
    "create table u clone marts.t",
    "create temporary table scratch like marts.t",
    "create schema if not exists raw",
    "create database if not exists market",
    "alter table t rename column a to b",
    "alter table t add column c varchar",
    "alter table t cluster by (a)",
    "alter session set timezone = 'UTC'",
    "comment on table t is 'a table'",
    "drop schema raw",
    "use schema raw",
    "set a = 1",
    "insert into t (a) select 'x' where not exists (select 1 from t where a = 'x')",
    "update t set a = 'y' where a = 'x'",
    "delete from t using u where t.a = u.a",
    "merge into t using u on t.a = u.a when matched then update set t.b = u.b "
    "when not matched then insert (a) values (u.a)",
    "show objects in schema raw limit 10000",
    "show terse schemas in database market limit 10",
    "show columns in table t",
    "show primary keys",
    "describe table t",
    "begin",
    "rollback",
]
# How the session is changed is asked of the variables, and of clustering by functions beside the passes.
ALWAYS = {"update_variables", "alter_table_strip_cluster_by"}


@pytest.fixture
def translate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], tuple[str, str]]]:
    """A statement in DuckDB's words, by fakesnow itself and with passes left out."""
    itself = cursor.FakeSnowflakeCursor._transform
    monkeypatch.setattr(cursor.FakeSnowflakeCursor, "_transform", itself)
    transforms.install(cursor, fakesnow.transforms)
    patched = cursor.FakeSnowflakeCursor._transform
    session = FakeSnow().connect("MARKET", "RAW")

    def said(by: Callable[..., Any], statement: str) -> str:
        try:
            found = by(session.cursor(), parse_one(statement), None)
        except Exception as problem:
            return repr(problem)
        return f"{found.sql(dialect='duckdb')} { ({k: v for k, v in found.args.items() if isinstance(v, str)}) }"

    yield lambda statement: (said(itself, statement), said(patched, statement))
    session.close()


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_translation_is_fakesnows_own(statement: str, translate: Callable[[str], tuple[str, str]]) -> None:
    itself, patched = translate(statement)
    assert patched == itself


def test_a_query_is_translated_once_for_each_schema(server: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    statement_cache.install(server, cursor)
    transforms.install(cursor, fakesnow.transforms)
    translated: list[str] = []
    statement = transforms._Statement

    def told(expression: Any, module: Any) -> Any:
        translated.append(expression.key)
        return statement(expression, module)

    monkeypatch.setattr(transforms, "_Statement", told)
    session = FakeSnow().connect("MARKET", "RAW")
    at: Any = session.cursor()
    for schema, price in (("RAW", 1), ("MARTS", 2)):
        at.execute(f"create schema if not exists {schema}")
        at.execute(f"use schema {schema}")
        at.execute(f"create or replace table bars as select {price} as price")
    translated.clear()
    for schema, price in (("RAW", 1), ("MARTS", 2), ("RAW", 1), ("MARTS", 2)):
        at.execute(f"use schema {schema}")
        at.execute("create or replace view prices as select price from bars")
        assert at.execute("select * from prices").fetchall() == [(price,)]
    assert translated.count("create") == translated.count("select") == 2
    # What the statement is bound to is part of its translation.
    for price in (1, 2):
        assert at.execute("select price from bars where price = %s", (price,)).fetchall() == [(2,)] * (price == 2)
    # A table's columns may have changed.
    for columns in ("1 as a", "1 as a, 2 as b"):
        at.execute(f"create or replace table source as select {columns}")
        at.execute("create or replace table copied as select * from source")
        assert len(at.execute("select * from copied").fetchall()[0]) == columns.count("as")


def test_of_each_pass_it_is_known_what_it_is_about() -> None:
    chain = inspect.getsource(cursor.FakeSnowflakeCursor._transform)
    names = set(re.findall(r"transforms\.(\w+)", chain))
    assert len(names) > 70
    assert {name for name in names if not transforms.concerned(getattr(fakesnow.transforms, name))} == ALWAYS


def test_a_pass_without_its_nodes_is_left_out() -> None:
    statement = transforms._Statement(parse_one("select trim(a) from b"), fakesnow.transforms)
    assert statement.transform(trims).transform(splits).expression.sql() == "SELECT LOWER(a) FROM b"


def trims(expression: exp.Expr) -> exp.Expr:
    return exp.Lower(this=expression.this) if isinstance(expression, exp.Trim) else expression


def splits(expression: exp.Expr) -> exp.Expr:
    assert isinstance(expression, exp.Split), "called with another node"
    return expression
