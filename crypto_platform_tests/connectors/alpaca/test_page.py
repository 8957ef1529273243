from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.errors import TransientError
from crypto_platform.connectors.alpaca.page import PageCheck

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=2)
SYMBOLS = ("BTC/USD", "ETH/USD")


def time_of(minute: int) -> str:
    return f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"


def body(bars: dict[str, list[int]] | None, token: object = None) -> dict[str, Any]:
    rows = bars and {s: [{"t": time_of(m), "c": 1.0} for m in minutes] for s, minutes in bars.items()}
    return {"bars": rows, "next_page_token": token}


def fresh() -> PageCheck:
    return PageCheck(frozenset(SYMBOLS), START, END)


minutes = st.sets(st.integers(0, 2 * 1440 - 1), max_size=60).map(sorted)


@given(btc=minutes, eth=minutes, limit=st.integers(1, 25))
def test_any_splitting_into_pages_is_accepted_whole(btc: list[int], eth: list[int], limit: int) -> None:
    rows = [("BTC/USD", m) for m in btc] + [("ETH/USD", m) for m in eth]
    check, got = fresh(), []
    for number, first in enumerate(range(0, len(rows) + 1, limit)):
        page: dict[str, list[int]] = {}
        for symbol, minute in rows[first : first + limit]:
            page.setdefault(symbol, []).append(minute)
        token = f"page {number}" if first + limit <= len(rows) else None
        bars, next_token = check(body(page, token))
        check.accept(bars, next_token)
        got += [(symbol, row["t"]) for symbol, rows_ in bars.items() for row in rows_]
    assert got == [(symbol, time_of(m)) for symbol, m in rows]


@given(st.lists(st.integers(0, 2 * 1440 - 1), min_size=2, max_size=20))
def test_only_strictly_ascending_bars_pass(order: list[int]) -> None:
    page = body({"BTC/USD": order})
    if order == sorted(set(order)):
        fresh()(page)
    else:
        with pytest.raises(TransientError, match="repeat or go back"):
            fresh()(page)


@given(st.integers(-3000, 6000))
def test_only_bars_of_the_half_open_range_pass(minute: int) -> None:
    page = body({"BTC/USD": [minute]})
    if 0 <= minute < 2 * 1440:
        fresh()(page)
    else:
        with pytest.raises(TransientError, match="leave the requested range"):
            fresh()(page)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["bars", "next_page_token", "t", *SYMBOLS]) | st.text(max_size=5),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_other_json_passes_or_is_a_fault_to_try_again(anything: object) -> None:
    check = fresh()
    try:
        bars, token = check(anything)
    except TransientError:
        return
    check.accept(bars, token)
    assert set(bars) <= set(SYMBOLS)


def test_the_page_before_again_is_told_from_one_that_goes_back() -> None:
    check = fresh()
    first = body({"BTC/USD": [1, 2, 3]}, "a")
    check.accept(*check(first))
    again, token = check(first | {"next_page_token": "b"})
    assert check.repeats(again)
    assert token == "b"
    assert not check.repeats({})
    with pytest.raises(TransientError) as fault:
        check(body({"BTC/USD": [3, 4]}, "b"))
    assert fault.value.cause == "not ascending"


def test_a_token_met_before_is_a_loop() -> None:
    check = fresh()
    check.accept(*check(body({"BTC/USD": [1]}, "a")))
    check.accept(*check(body({"BTC/USD": [2]}, "b")))
    with pytest.raises(TransientError) as fault:
        check(body({"BTC/USD": [3]}, "a"))
    assert fault.value.cause == "repeated token"


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (body({"DOGE/USD": [1]}), "unasked symbol"),
        (body({"BTC/USD": [1]}, 7), "repeated token"),
        ({"bars": {}}, "bad page"),
        ({"bars": {"BTC/USD": [{"t": "2026-03-01T00:00:00.5Z"}]}, "next_page_token": None}, "bad page"),
        ({"bars": {"BTC/USD": [{"t": "2026-02-30T00:00:00Z"}]}, "next_page_token": None}, "bad page"),
        ({"bars": {"BTC/USD": [{"c": 1}]}, "next_page_token": None}, "bad page"),
        (None, "bad page"),
    ],
)
def test_a_bad_page_says_why(bad: object, cause: str) -> None:
    with pytest.raises(TransientError) as fault:
        fresh()(bad)
    assert fault.value.cause == cause


@pytest.mark.parametrize("empty", [{}, None, {"BTC/USD": None}, {"BTC/USD": []}])
def test_no_bars_is_a_page_too(empty: object) -> None:
    assert fresh()({"bars": empty, "next_page_token": None}) == ({}, None)
