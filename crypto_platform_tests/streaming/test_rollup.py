"""Longer bars from the stream's minutes, beside those that the sandbox's REST makes."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.market.bars import Timeframe
from crypto_platform.sandbox.alpaca import timeframes
from crypto_platform.sandbox.alpaca.columns import to_dicts
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform.streaming.rollup import RollUp, combine, is_sound

MONDAY = int(np.datetime64("2026-03-02T15:00:00").astype(np.int64))
QUARTER = Timeframe.parse("15Min")


def minutes(symbol: str) -> dict[int, dict[str, Any]]:
    """A quarter of an hour of simulated minutes by their start, `t` left out."""
    ns = 10**9
    found = Simulated().bars(symbol, "us_equity", timeframes.ONE_MINUTE, MONDAY * ns, (MONDAY + 899) * ns, 15)
    bars = to_dicts(found)
    return {MONDAY + 60 * n: {k: v for k, v in bar.items() if k != "t"} for n, bar in enumerate(bars)}


def test_a_quarter_of_minutes_is_rests_quarter() -> None:
    for symbol in ("AAPL", "SPY", "NVDA"):
        rolled = Simulated().bars(
            symbol, "us_equity", timeframes.Timeframe(15, "Min"), MONDAY * 10**9, MONDAY * 10**9, 1
        )
        (rest,) = to_dicts(rolled)
        assert combine(minutes(symbol)) == {k: v for k, v in rest.items() if k != "t"}


@given(order=st.permutations(list(range(14))))
def test_minutes_in_any_order_make_the_same_bar(order: list[int]) -> None:
    made = minutes("AAPL")
    rollup = RollUp(QUARTER)
    for n in order:
        assert rollup.add("AAPL", MONDAY + 60 * n, made[MONDAY + 60 * n]) is None
    assert rollup.add("AAPL", MONDAY + 840, made[MONDAY + 840]) == (MONDAY, combine(made))
    assert rollup.due(MONDAY + 10_000, 0) == []


def test_a_late_minute_corrects_what_was_told() -> None:
    made = minutes("AAPL")
    rollup = RollUp(QUARTER)
    for start, minute in made.items():
        rollup.add("AAPL", start, minute)
    late = {**made[MONDAY], "v": made[MONDAY]["v"] + 10, "h": 1e6}
    first, corrected = rollup.add("AAPL", MONDAY, late) or (0, {})
    assert (first, corrected["h"]) == (MONDAY, 1e6)
    rollup.forget(MONDAY + 1)
    assert rollup.add("AAPL", MONDAY, late) is None


def test_a_bar_whose_last_minute_has_no_trade_is_told_once_it_is_over() -> None:
    rollup = RollUp(QUARTER)
    minute = minutes("AAPL")[MONDAY]
    rollup.add("AAPL", MONDAY, minute)
    assert rollup.due(MONDAY + 909, 10) == []
    assert rollup.due(MONDAY + 910, 10) == [("AAPL", MONDAY, combine({MONDAY: minute}))]
    assert rollup.due(MONDAY + 911, 10) == []


def test_a_broken_minute_is_no_part_of_a_bar() -> None:
    good = {"o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 10}
    assert is_sound(60, good)
    assert not is_sound(67, good)
    for spoilt in ({"c": float("nan")}, {"h": 0.1}, {"v": None}, {"v": -1}):
        assert not is_sound(60, good | spoilt)


def test_a_bar_that_a_connection_was_not_there_for_is_not_told() -> None:
    made = minutes("AAPL")
    rollup = RollUp(QUARTER)
    rollup.connected(MONDAY + 1)
    for start, minute in made.items():
        assert rollup.add("AAPL", start, minute) is None
    assert rollup.due(MONDAY + 10_000, 0) == []
    assert len(rollup) == 0
    rollup.connected(MONDAY + 900)
    later = {start + 900: minute for start, minute in made.items()}
    for start, minute in list(later.items())[:7]:
        rollup.add("AAPL", start, minute)
    # Cut in its eighth minute.
    rollup.connected(MONDAY + 900 + 500)
    for start, minute in list(later.items())[8:]:
        assert rollup.add("AAPL", start, minute) is None
    assert rollup.due(MONDAY + 10_000, 0) == []


def test_what_was_told_is_corrected_after_a_cut_until_it_is_forgotten() -> None:
    made = minutes("AAPL")
    rollup = RollUp(QUARTER)
    rollup.connected(MONDAY)
    for start, minute in made.items():
        told = rollup.add("AAPL", start, minute)
    assert told == (MONDAY, combine(made))
    rollup.connected(MONDAY + 901)
    late = {**made[MONDAY + 840], "h": 1e6}
    assert rollup.add("AAPL", MONDAY + 840, late) == (MONDAY, combine({**made, MONDAY + 840: late}))
    rollup.forget(MONDAY + 900)
    assert len(rollup) == 0
    assert rollup.add("AAPL", MONDAY + 840, late) is None
    assert len(rollup) == 0
