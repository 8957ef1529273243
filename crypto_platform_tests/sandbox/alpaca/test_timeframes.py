"""Timeframes and roll-ups, the latter held against what Alpaca itself made of its bars."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.sandbox.alpaca.columns import Bars
from crypto_platform.sandbox.alpaca.recordings import Recorded
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, ONE_DAY, Timeframe, roll_up
from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS

SHORT = {"Min": "T", "Hour": "H", "Day": "D", "Week": "W", "Month": "M"}
VALID = [
    *(f"{n}{unit}" for unit in ("Min", "T") for n in range(1, 60)),
    *(f"{n}{unit}" for unit in ("Hour", "H") for n in range(1, 24)),
    *("1Day", "1D", "1Week", "1W"),
    *(f"{n}{unit}" for unit in ("Month", "M") for n in (1, 2, 3, 4, 6, 12)),
]


@given(st.sampled_from(VALID) | st.from_regex(r"[0-9]{0,3}(Min|T|Hour|H|Day|D|Week|W|Month|M|min)?", fullmatch=True))
def test_alpacas_timeframes_and_no_others(text: str) -> None:
    if text in VALID:
        parsed = Timeframe.parse(text)
        assert text in (str(parsed), f"{parsed.amount}{SHORT[parsed.unit]}")
    else:
        with pytest.raises(ValueError, match="invalid timeframe"):
            Timeframe.parse(text)


@pytest.mark.parametrize(
    ("name", "asset_class", "time", "start"),
    [
        ("15Min", "us_equity", "2026-03-09T13:44:59Z", "2026-03-09T13:30:00Z"),
        ("7Hour", "crypto", "2026-03-09T20:59:00Z", "2026-03-09T14:00:00Z"),
        ("1Day", "crypto", "2026-03-09T02:00:00Z", "2026-03-09T00:00:00Z"),
        ("1Day", "us_equity", "2026-03-09T02:00:00Z", "2026-03-08T05:00:00Z"),  # New York's clocks went on
        ("1Day", "us_equity", "2026-03-09T12:00:00Z", "2026-03-09T04:00:00Z"),
        ("1Week", "crypto", "2026-03-08T23:59:00Z", "2026-03-02T00:00:00Z"),
        ("1Week", "us_equity", "2026-03-13T20:00:00Z", "2026-03-09T04:00:00Z"),
        ("3Month", "crypto", "2026-06-30T23:59:00Z", "2026-04-01T00:00:00Z"),
        ("12Month", "us_equity", "2026-01-01T04:59:00Z", "2025-01-01T05:00:00Z"),
    ],
)
def test_where_a_bar_starts(name: str, asset_class: str, time: str, start: str) -> None:
    starts = Timeframe.parse(name).starts(np.array([pd.Timestamp(time).value]), asset_class)
    assert starts.tolist() == [pd.Timestamp(start).value]


def test_a_stocks_day_is_rolled_up_as_alpaca_does() -> None:
    """Open, high and low of 269 days, early closes and daylight saving in them, from the 15-minute bars."""
    recorded = Recorded(RECORDINGS).recordings
    for symbol in ("SPY", "AAPL", "NVDA"):
        # Of AAPL there are days of another source before.
        daily = recorded[symbol, ONE_DAY].bars.between(pd.Timestamp("2025-03-31", tz="UTC").value, 2**62)
        rolled = roll_up(recorded[symbol, Timeframe(15, "Min")].bars, ONE_DAY, "us_equity")
        assert rolled.times.tolist() == daily.times.tolist()
        for name in ("o", "h", "l"):
            assert (rolled.columns[name] == daily.columns[name]).all()
        assert (rolled.columns["c"] != daily.columns["c"]).sum() <= 10


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.floats(1, 100), st.sampled_from([0.0, 0.5, 3.0]), st.integers(0, 9)),
        min_size=1,
        max_size=60,
        unique_by=lambda bar: bar[0],
    )
)
def test_a_roll_up_is_the_definition(rows: list) -> None:
    rows.sort()
    times, prices, volumes, counts = (np.array(column) for column in zip(*rows, strict=True))
    bars = Bars(
        {"t": times * MINUTE, "o": prices, "h": prices + 1, "l": prices / 2, "c": prices + 0.5, "v": volumes}
        | {"n": counts, "vw": prices}
    )
    rolled = roll_up(bars, Timeframe(15, "Min"), "crypto")
    for i, start in enumerate(rolled.times // MINUTE):
        inside = [row for row in rows if start <= row[0] < start + 15]
        volume = sum(row[2] for row in inside)
        values = {name: column[i] for name, column in rolled.columns.items()}
        assert values["o"] == inside[0][1]
        assert values["h"] == max(row[1] for row in inside) + 1
        assert values["l"] == min(row[1] for row in inside) / 2
        assert values["c"] == inside[-1][1] + 0.5
        assert values["v"] == volume
        assert values["n"] == sum(row[3] for row in inside)
        vwap = sum(row[1] * row[2] for row in inside) / volume if volume else values["c"]
        assert math.isclose(values["vw"], vwap, abs_tol=1e-6)
    assert sum(rolled.columns["v"]) == pytest.approx(volumes.sum())
