"""Simulated bars: the same whenever they are asked for, and bars that could have been."""

import time
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.sandbox.alpaca.sessions import extended_sessions, to_new_york
from crypto_platform.sandbox.alpaca.simulated import MINUTES_A_PAGE, Simulated
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, ONE_DAY, ONE_MINUTE, Timeframe, roll_up

symbols = st.sampled_from([("BTC/USD", "crypto"), ("DOGE/USDT", "crypto"), ("SPY", "us_equity")])
starts = st.integers(0, 20 * 525_600).map(lambda m: 1_100_000_000 // 60 * MINUTE + m * MINUTE)


def ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9


@settings(deadline=None, max_examples=60)
@given(symbol=symbols, start=starts, length=st.integers(0, 8000), limit=st.integers(1, 3000), seed=st.integers(0, 3))
def test_bars_do_not_depend_on_how_they_are_asked_for(symbol, start, length, limit, seed) -> None:
    end = start + length * MINUTE
    whole = Simulated(seed).bars(*symbol, ONE_MINUTE, start, end, 10_000)
    assert len(whole) <= length + 1
    head = Simulated(seed).bars(*symbol, ONE_MINUTE, start, end, limit)
    tail = Simulated(seed).bars(*symbol, ONE_MINUTE, start, end, limit, descending=True)
    for name, column in whole.columns.items():
        assert (head.columns[name] == column[:limit]).all()
        assert (tail.columns[name] == column[-limit:]).all()
    if len(whole):
        alone = Simulated(seed).bars(*symbol, ONE_MINUTE, int(whole.times[-1]), int(whole.times[-1]), 1)
        assert alone.columns["c"] == whole.columns["c"][-1:]


@settings(deadline=None, max_examples=40)
@given(symbol=symbols, start=starts, seed=st.integers(0, 1000))
def test_a_bar_is_sound(symbol, start, seed) -> None:
    bars = Simulated(seed).bars(*symbol, ONE_MINUTE, start, start + 10**18, 3000)
    c = bars.columns
    assert (np.diff(bars.times) > 0).all()
    assert (c["l"] > 0).all()
    assert (c["l"] <= np.minimum(c["o"], c["c"])).all()
    assert (c["h"] >= np.maximum(c["o"], c["c"])).all()
    assert ((c["vw"] >= c["l"]) & (c["vw"] <= c["h"])).all()
    assert ((c["v"] > 0) == (c["n"] > 0)).all()
    follows = np.diff(bars.times) == MINUTE
    assert (c["o"][1:][follows] == c["c"][:-1][follows]).all()
    if symbol[1] == "crypto":
        assert follows.all()
        assert 0.1 < (c["v"] == 0).mean() < 0.3
    else:
        assert (c["v"] == np.floor(c["v"])).all()
        local = to_new_york(bars.times)
        hour, weekday = local // (60 * MINUTE) % 24, (local // (1440 * MINUTE) + 3) % 7
        assert ((hour >= 4) & (hour < 20) & (weekday < 5)).all()


def test_seeds_and_symbols_differ() -> None:
    one, other = (Simulated(seed).bars("BTC/USD", "crypto", ONE_MINUTE, 0, ns(2026, 1, 1), 10) for seed in (1, 2))
    another = Simulated(1).bars("ETH/USD", "crypto", ONE_MINUTE, 0, ns(2026, 1, 1), 10)
    assert not (one.columns["c"] == other.columns["c"]).any()
    assert not (one.columns["c"] == another.columns["c"]).any()


@pytest.mark.parametrize("name", ["5Min", "15Min", "1Hour", "7Hour", "1Day", "1Week", "1Month", "3Month"])
@pytest.mark.parametrize("symbol", [("BTC/USD", "crypto"), ("SPY", "us_equity")])
@pytest.mark.parametrize("descending", [False, True])
def test_longer_bars_are_the_minutes_together(symbol, name, descending) -> None:
    source, timeframe = Simulated(), Timeframe.parse(name)
    first, last = ns(2025, 1, 10, 12, 30), ns(2025, 3, 12, 1)
    minutes = source.bars(*symbol, ONE_MINUTE, ns(2024, 10, 1), ns(2025, 7, 15), 10**6)
    rolled = roll_up(minutes, timeframe, symbol[1]).between(first, last)
    kept = rolled[-40:] if descending else rolled[:40]
    served = source.bars(*symbol, timeframe, first, last, 40, descending)
    for column, values in kept.columns.items():
        assert (served.columns[column] == values).all(), column


@pytest.mark.parametrize("timeframe", [ONE_MINUTE, Timeframe(15, "Min"), ONE_DAY])
def test_no_bar_before_it_is_over(timeframe: Timeframe) -> None:
    before = time.time_ns()
    bars = Simulated().bars("BTC/USD", "crypto", timeframe, 0, 2**62, 3, descending=True)
    span = timeframe.minutes * MINUTE
    assert before - 2 * span < bars.times[-1] <= time.time_ns() - span


def test_no_stock_bar_on_a_holiday_and_a_short_one_on_an_early_close() -> None:
    source = Simulated()
    assert len(source.bars("SPY", "us_equity", ONE_MINUTE, ns(2025, 12, 25, 6), ns(2025, 12, 26, 6), 10_000)) == 0
    early = source.bars("SPY", "us_equity", ONE_MINUTE, ns(2025, 12, 24, 6), ns(2025, 12, 25, 6), 10_000)
    assert len(early) == 13 * 60  # 04:00 to 17:00
    opens, closes = extended_sessions()
    assert (closes > opens).all()


def test_a_page_of_long_bars_is_bounded() -> None:
    assert Simulated().most(ONE_DAY) == MINUTES_A_PAGE // 1440
    assert Simulated().most(ONE_MINUTE) >= 10_000
    assert Simulated().most(Timeframe(12, "Month")) >= 1
