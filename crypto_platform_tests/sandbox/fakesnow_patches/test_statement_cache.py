"""The emulator's shortcuts answer what fakesnow answers without them."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from fakesnow import cursor
from fakesnow.instance import FakeSnow

from crypto_platform.sandbox.fakesnow_patches import statement_cache

COLUMNS = "symbol varchar(12), bar_start timestamp_tz, seen timestamp_ntz, price float, volume number(38, 9)"
STATEMENTS = [
    f"create table bars ({COLUMNS})",
    "insert into bars values ('BTC/USD', '2026-03-01', '2026-03-02', 1.5, 2), ('ETH/USD', '2026-03-01', null, 2.5, 3)",
    "select * from bars",
    "select symbol, count(*) as bars, sum(volume) as volume, null as nothing from bars group by symbol",
    "with b as (select * from bars) select 'a' as a, 1 as b, 1.25 as c, true as d, current_date as e from b",
    "select * from bars where false",
    "show tables",
    "describe table bars",
    "update bars set price = 3 where symbol = 'BTC/USD'",
    "merge into bars as b using (select 'BTC/USD' as symbol) as n on b.symbol = n.symbol when matched then delete",
    "create view closes as select symbol, price from bars",
    "begin",
    "delete from bars",
    "rollback",
    "drop table bars",
]
Described = list[tuple[Any, ...]]


@pytest.fixture
def described(server: ModuleType) -> Iterator[list[tuple[Described, Described]]]:
    """What each statement's result is said to be: by the shortcut, and by fakesnow itself."""
    fakesnow_s = cursor.FakeSnowflakeCursor._describe_last_sql
    statement_cache.install(server, cursor)
    found: list[tuple[Described, Described]] = []
    shortcut = cursor.FakeSnowflakeCursor._describe_last_sql

    def both(self: Any) -> Described:
        columns = [row[:2] for row in shortcut(self)]
        found.append((columns, [row[:2] for row in fakesnow_s(self)]))
        return columns

    cursor.FakeSnowflakeCursor._describe_last_sql = both
    yield found


def test_a_result_is_described_as_fakesnow_describes_it(described: list[tuple[Described, Described]]) -> None:
    connection = FakeSnow().connect(database="MARKET", schema="RAW")
    cur: Any = connection.cursor()
    for statement in STATEMENTS:
        cur.execute(statement)
        cur._describe_last_sql()
    assert len(described) == len(STATEMENTS)
    assert [shortcut for shortcut, _ in described] == [fakesnow_s for _, fakesnow_s in described]


def test_a_scanned_result_is_described_as_itself(described: list[tuple[Described, Described]]) -> None:
    cur: Any = FakeSnow().connect(database="MARKET", schema="RAW").cursor()
    cur.execute("select 1 as first, 'a' as second")
    scanned = cur.sfqid
    cur.execute("select true as other")
    cur.execute(f"select * from table(result_scan('{scanned}'))")
    cur._describe_last_sql()
    assert described[-1][0] == described[-1][1] == [("FIRST", "INTEGER"), ("SECOND", "VARCHAR")]
