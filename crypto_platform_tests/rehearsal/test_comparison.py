from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.comparison import Contents, differences

COLUMNS = ("SYMBOL", "CLOSE")
ROWS = st.lists(st.sampled_from([("A", 1), ("A", 2), ("B", 1), ("B", None)]), max_size=8)


def table(rows: list[tuple[object, ...]]) -> dict[str, Contents]:
    return {"RAW.BARS": Contents(COLUMNS, Counter(rows))}


@given(ROWS)
def test_equal_tables_differ_in_nothing(rows: list[tuple[object, ...]]) -> None:
    assert differences(table(rows), table(rows[::-1])) == []


@given(ROWS, ROWS)
def test_every_row_too_few_or_too_many_is_counted_once(
    want: list[tuple[object, ...]], have: list[tuple[object, ...]]
) -> None:
    found = differences(table(want), table(have))
    if sorted(map(str, want)) == sorted(map(str, have)):
        assert found == []
        return
    (difference,) = found
    surplus = [row for row in set(have) if have.count(row) > want.count(row)]
    assert difference.lost == sum(max(0, want.count(row) - have.count(row)) for row in set(want))
    assert difference.doubled == sum(have.count(row) - want.count(row) for row in surplus if row in want)
    assert difference.other == sum(have.count(row) for row in surplus if row not in want)


def test_a_table_that_is_not_there_has_lost_its_rows_and_an_unknown_one_has_others() -> None:
    missing, unknown = differences(table([("A", 1)]), {"RAW.ELSE": Contents(COLUMNS, Counter([("B", 1)]))})
    assert (missing.table, missing.lost, missing.other) == ("RAW.BARS", 1, 0)
    assert (unknown.table, unknown.lost, unknown.other) == ("RAW.ELSE", 0, 1)
    assert str(missing) == "RAW.BARS: 1 lost, 0 doubled, 0 other: ('A', 1)"
