"""Alpaca's `asof`: by its documented example, over the API, and held against a walk from day to day."""

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.sandbox.alpaca import running
from crypto_platform.sandbox.alpaca.sessions import midnight
from crypto_platform.sandbox.alpaca.symbol_names import NameChange, spans
from crypto_platform_tests.connectors.alpaca.conftest import settings_for, stocks
from crypto_platform_tests.sandbox.alpaca.test_corporate_actions import written
from crypto_platform_tests.sandbox.alpaca.test_rest import get

# The fund that was META until Facebook took the ticker, and Facebook.
FUND = {"old_symbol": "META", "new_symbol": "METV", "process_date": "2022-01-31"}
FACEBOOK = {"old_symbol": "FB", "new_symbol": "META", "process_date": "2022-06-09"}
CLOSES = [
    ("META", "2022-01-28", 12.31),
    ("METV", "2022-01-31", 12.5),
    ("METV", "2022-06-09", 8.0),
    ("FB", "2022-01-28", 301.71),
    ("FB", "2022-06-08", 196.64),
    ("META", "2022-06-09", 184.0),
    ("META", "2022-06-10", 175.57),
]


def folder(path: Path) -> Path:
    rows = [f"{symbol},{day}T13:30:00Z,{close},{close},{close},{close},100" for symbol, day, close in CLOSES]
    (path / "made_15Min.csv").write_text("\n".join(["symbol,timestamp,open,high,low,close,volume", *rows]))
    return written(path, {"corporate_actions": {"name_changes": [FUND, FACEBOOK]}})


@pytest.mark.sandbox
def test_each_day_names_its_own_company(tmp_path: Path) -> None:
    with running(folder(tmp_path)) as url:

        def closes(symbol: str, **asked: str) -> list[float]:
            parameters = {"symbols": symbol, "timeframe": "15Min", "start": "2022-01-01", "end": "2022-07-01"} | asked
            bars = get(url, "/v2/stocks/bars", **parameters).json()["bars"].get(symbol, [])
            return [bar["c"] for bar in bars]

        facebook, fund = [301.71, 196.64, 184, 175.57], [12.31, 12.5, 8]
        assert closes("META") == closes("META", asof="2022-06-09") == closes("FB", asof="2022-06-08") == facebook
        assert closes("META", asof="2022-01-30") == closes("METV") == fund
        assert closes("FB") == facebook[:2]
        assert closes("META", asof="-") == [12.31, 184, 175.57]
        assert closes("META", sort="desc") == facebook[::-1]
        assert closes("META", start="2022-02-01", end="2022-06-09T23:00:00Z") == facebook[1:3]
        # Pages of one bar each go over the change of name.
        pages, token = [], ""
        while token is not None:
            more = {"page_token": token} if token else {}
            answer = get(url, "/v2/stocks/bars", symbols="META", timeframe="15Min", start="2022-01-01",
                         end="2022-07-01", limit="1", **more).json()  # fmt: skip
            pages += [bar["c"] for bar in answer["bars"].get("META", [])]
            token = answer["next_page_token"]
        assert pages == facebook


@pytest.mark.sandbox
def test_an_old_day_that_is_fetched_again_is_the_old_days_company(tmp_path: Path) -> None:
    """After the change of name: FB's days are FB's, META's the fund's and then Facebook's, by one request or many."""
    first, after = date(2022, 1, 28), date(2022, 6, 11)
    days = [first + timedelta(days=n) for n in range((after - first).days)]
    with running(folder(tmp_path)) as url, AlpacaClient(settings_for(url)) as client:

        def closes(start: date, end: date) -> dict[tuple[str, str], float]:
            request = stocks(start, end, ("FB", "META"))
            bounds = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (start, end))
            pages = client.pages(request, request.symbols, *bounds, Traffic(), threading.Event())
            return {
                (symbol, bar["t"][:10]): bar["c"]
                for page in pages
                for symbol, bars in page.bars.items()
                for bar in bars
            }

        expected = {(symbol, day): close for symbol, day, close in CLOSES if symbol != "METV"}
        assert closes(first, after) == expected
        by_day = [closes(day, day + timedelta(days=1)) for day in days if f"{day}" in {day for _, day, _ in CLOSES}]
        assert {key: close for found in by_day for key, close in found.items()} == expected


START = date(2024, 1, 1)
SYMBOLS = "ABCD"


@st.composite
def histories(draw: st.DrawFn) -> list[NameChange]:
    """Changes by which a ticker in use is never taken, some of them of tickers that were used before."""
    held, changes = {"A", "B"}, []
    for day in sorted(draw(st.lists(st.integers(1, 20), unique=True, max_size=6))):
        old = draw(st.sampled_from(sorted(held)))
        new = draw(st.sampled_from([s for s in SYMBOLS if s not in held]))
        held = held - {old} | {new}
        changes.append(NameChange(START + timedelta(days=day), old, new))
    return changes


@given(histories(), st.integers(0, 22), st.sampled_from(SYMBOLS))
def test_names_are_those_of_a_walk_from_day_to_day(changes: list[NameChange], number: int, symbol: str) -> None:
    days = [START + timedelta(days=n) for n in range(23)]
    named: list[dict[str, str]] = []  # per day the company by its ticker
    now = {"A": "a", "B": "b"}
    for day in days:
        for change in changes:
            if change.day == day:
                now = {**{s: c for s, c in now.items() if s != change.old}, change.new: now[change.old]}
        named.append(dict(now))
    company = named[number].get(symbol)
    found = spans(symbol, days[number], changes)
    for at, day in enumerate(days):
        noon = midnight(day, "us_equity") + 12 * 3600 * 10**9
        names = [span.symbol for span in found if span.first <= noon <= span.last]
        if company is None:
            assert names == [symbol]
        else:
            assert names == [s for s, c in named[at].items() if c == company]
