from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from string import ascii_uppercase
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.plan import HELD_BARS, LONGEST_GROUP, SECONDS_A_DAY, plan
from crypto_platform.connectors.alpaca.request import PAGE_BARS, BarsRequest
from crypto_platform.market.bars import Timeframe

START = date(2024, 1, 1)


def tickers(count: int) -> tuple[str, ...]:
    return tuple(
        ascii_uppercase[n // 676] + ascii_uppercase[n // 26 % 26] + ascii_uppercase[n % 26] for n in range(count)
    )


def request(symbols: int, days: int, timeframe: str = "1Min") -> BarsRequest:
    return BarsRequest(
        "us_equity",
        "us_equity",
        tickers(symbols),
        Timeframe.parse(timeframe),
        START,
        START + timedelta(days=days),
    )


@given(
    symbols=st.integers(1, 700),
    days=st.integers(1, 800),
    timeframe=st.sampled_from(["1Min", "5Min", "15Min", "1Hour", "1Day"]),
    concurrency=st.integers(1, 16),
)
def test_every_symbol_and_day_is_asked_for_once_within_the_bounds(
    symbols: int, days: int, timeframe: str, concurrency: int
) -> None:
    asked = request(symbols, days, timeframe)
    chosen = plan(asked, concurrency)

    assert Counter(s for group in chosen.groups for s in group) == Counter(asked.symbols)
    assert max(map(len, chosen.groups)) <= LONGEST_GROUP
    windows = list(chosen.windows(asked.start, asked.end))
    assert windows[0][0] == asked.start
    assert windows[-1][1] == asked.end
    assert all(start < end for start, end in windows)
    assert all(one[1] == other[0] for one, other in pairwise(windows))

    bars_a_day = symbols * SECONDS_A_DAY // asked.timeframe.seconds
    assert chosen.ahead_days == 1 or chosen.ahead_days * bars_a_day <= HELD_BARS
    several_in_a_stream = any(len(group) > 1 for group in chosen.groups)
    assert not several_in_a_stream or chosen.window_days <= chosen.ahead_days


def test_a_year_of_eleven_thousand_daily_stocks_is_minutes_of_the_limit_in_short_addresses() -> None:
    asked = request(11_000, 365, "1Day")
    chosen = plan(asked, 4)
    windows = list(chosen.windows(asked.start, asked.end))
    # No window of a group is more than a page, and each page is at least half full on its sessions.
    assert max(len(group) for group in chosen.groups) * chosen.window_days <= PAGE_BARS
    assert len(chosen.groups) * len(windows) <= 2 * 11_000 * 252 / PAGE_BARS
    longest = max(len(urlencode({"symbols": ",".join(group)})) for group in chosen.groups)
    assert longest + 500 < 8_000  # what proxies and servers take at the least


@pytest.mark.parametrize(
    ("symbols", "days", "timeframe", "requests"),
    [
        (1, 365, "1Min", 53),  # a year of one symbol: full pages to the end
        (10, 365, "1Min", 530),
        (3, 1, "15Min", 1),  # a small feed's day: one page
        (500, 1, "15Min", 8),  # a day of many symbols: a few pages, not one a symbol
        (500, 1, "1Min", 72),
        (1, 8_491, "1Day", 1),  # 1998-01-02 to 2021-04-01
        (2_000, 365, "1Day", 80),
    ],
)
def test_pages_are_full(symbols: int, days: int, timeframe: str, requests: int) -> None:
    asked = request(symbols, days, timeframe)
    chosen = plan(asked, 4)
    bars_a_day = SECONDS_A_DAY // asked.timeframe.seconds
    pages = sum(
        -(-len(group) * (end - start).days * bars_a_day // PAGE_BARS)
        for group in chosen.groups
        for start, end in chosen.windows(asked.start, asked.end)
    )
    assert pages == requests


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"feed": "../x"}, "not a feed's name"),
        ({"symbols": ()}, "each once"),
        ({"symbols": ("BTC/USD", "BTC/USD")}, "each once"),
        ({"symbols": ("'; drop table x; --",)}, "is not a symbol of asset class crypto"),
        ({"end": START}, "no day in"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict, words: str) -> None:
    fields = {
        "feed": "crypto",
        "asset_class": "crypto",
        "symbols": ("BTC/USD",),
        "timeframe": Timeframe.parse("1Min"),
        "start": START,
        "end": START + timedelta(days=1),
    }
    with pytest.raises(ValueError, match=words):
        BarsRequest(**{**fields, **change})
