"""Candles in the terminal: what is drawn, and what is said where there is nothing to draw."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from crypto_platform.cli.app import app
from crypto_platform.cli.candles import AXIS, Candle, draw
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.settings import Settings, use

FIRST = datetime(2026, 3, 1)  # noqa: DTZ001


def candle(number: int, prices: tuple[float, float, float, float], volume: float = 1.0) -> Candle:
    return Candle(FIRST + timedelta(hours=number), *prices, volume)


def drawn(candles: list[Candle], width: int = 40, height: int = 8) -> list[str]:
    return [line.plain for line in draw(candles, width, height)]


def test_a_candle_that_rose_and_one_that_fell() -> None:
    # Five lines, ten halves of a dollar each.
    lines = drawn([candle(0, (2.2, 10, 0, 7.8), 4), candle(1, (7.8, 8.9, 3.2, 5.2), 1)])
    assert lines == [
        "        9.00┤│  ╷  ",
        "        7.00┤┃  █  ",
        "        5.00┤┃  ▀  ",
        "        3.00┤┃  ╵  ",
        "        1.00┤│     ",
        "      volume│█  ▂  ",
        "             ╵",
        "             03-01 00:00",
    ]


def test_colours_are_there_for_a_terminal_alone() -> None:
    text = next(iter(draw([candle(0, (1, 2, 0, 2)), candle(1, (2, 2, 0, 1))], 40, 8)))
    assert [str(span.style) for span in text.spans] == ["green", "red"]


@given(
    st.lists(st.tuples(*[st.floats(1e-8, 1e7)] * 4, st.floats(0, 1e9)), min_size=1, max_size=60),
    st.integers(20, 90),
    st.integers(4, 40),
)
def test_any_candles_fit(rows: list[tuple[float, ...]], width: int, height: int) -> None:
    rows = rows[: width - AXIS]
    candles = [
        candle(number, (prices[0], max(prices), min(prices), prices[1]), volume)
        for number, (*prices, volume) in enumerate(rows)
    ]
    lines = drawn(candles, width, height)
    assert len(lines) == max(height, 7)
    assert max(map(len, lines)) <= max(width, AXIS + 12)
    body = "".join(line[AXIS:] for line in lines[:-3])
    assert any(mark in body for mark in "┃╹╻╿╽█▀▄")


# On the emulator


@pytest.fixture(scope="module")
def marts(snowflake: Settings) -> Iterator[Settings]:
    """Three days of hours in a database of the test's own, and days of two feeds."""
    chosen = snowflake.model_copy(update={"snowflake_database": "CHARTS"})
    columns = "open float, high float, low float, close float, volume float"
    with connect(snowflake) as connection, connection.cursor() as cursor:
        for statement in ("create database charts", "create schema charts.marts"):
            cursor.execute(statement)
        for name, time in (("5m", "bar_start"), ("15m", "bar_start"), ("1h", "bar_start"), ("1d", "bar_date")):
            kind = "date" if time == "bar_date" else "timestamp_ntz, bar_date date"
            cursor.execute(
                f"create table charts.marts.fct_bars_{name} (feed varchar, symbol varchar, {time} {kind}, {columns})"
            )
        key = "feed varchar, symbol varchar, timeframe varchar, bar_start timestamp_ntz"
        cursor.execute(f"create table charts.marts.fct_bars ({key}, {columns})")
        hours = [(FIRST + timedelta(hours=n), n) for n in range(72)]
        values = ", ".join(
            f"('crypto', 'BTC/USD', '{at}', '{at:%Y-%m-%d}', {n + 1}, {n + 3}, {n + 0.5}, {n + 2}, 1)"
            for at, n in hours
        )
        cursor.execute(f"insert into charts.marts.fct_bars_1h values {values}")
        days = ", ".join(
            f"('{feed}', 'AAPL', '2026-03-0{day}', 1, 2, 0.5, 1.5, 1)"
            for feed, last in (("us_equity", 3), ("us_equity_daily", 5))
            for day in range(1, last + 1)
        )
        cursor.execute(f"insert into charts.marts.fct_bars_1d values {days}")
    yield chosen


@pytest.fixture
def chosen(marts: Settings, using: Callable[[Settings], Settings]) -> Settings:
    return using(marts)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["chart", *arguments])


@pytest.mark.usefixtures("chosen")
def test_a_range_and_the_newest_bars() -> None:
    answer = run("BTC/USD", "--timeframe", "1h", "--from", "2026-03-02", "--to", "2026-03-03")
    assert answer.exit_code == 0, answer.output
    title, *lines = answer.output.splitlines()
    assert title == "BTC/USD 1Hour, crypto, 24 bars to 49.0, UTC"
    assert len(lines) == 29
    assert "03-02 00:00" in lines[-1]
    assert "\x1b[" not in answer.output
    assert run("BTC/USD", "--timeframe", "60m").output.splitlines()[0] == "BTC/USD 1Hour, crypto, 72 bars to 73.0, UTC"


@pytest.mark.usefixtures("chosen")
def test_more_bars_than_columns_are_drawn_some_in_a_row(chosen: Settings) -> None:
    from crypto_platform.cli.chart import _candles

    title, candles = _candles(chosen, "BTC/USD", "1Hour", FIRST, None, None, 30)
    assert "72 bars to 73.0, UTC, a candle is 3 bars" in title
    expected = [Candle(FIRST + timedelta(hours=n), n + 1, n + 5, n + 0.5, n + 4, 3) for n in range(0, 72, 3)]
    assert candles == expected
    title, candles = _candles(chosen, "BTC/USD", "1Hour", None, None, None, 30)
    assert [one.start for one in candles] == [FIRST + timedelta(hours=n) for n in range(42, 72)]


@pytest.mark.usefixtures("chosen")
def test_of_several_feeds_the_one_with_the_newest_bar_or_the_one_that_is_named() -> None:
    title = "AAPL 1Day, us_equity_daily, 5 bars to 1.5, UTC (--feed us_equity has it too)"
    assert run("AAPL").output.splitlines()[0] == title
    assert run("AAPL", "--feed", "us_equity").output.splitlines()[0].startswith("AAPL 1Day, us_equity, 3 bars")


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["BTC/USD", "--timeframe", "1h", "--to", "2026-03-01"],
            1,
            "in […, 2026-03-01): there are 72, 2026-03-01 00:00",
        ),
        (
            ["BTC/USD"],
            1,
            "No bars of BTC/USD 1Day. Bars of BTC/USD there are: 1Hour 72, 2026-03-01 00:00:00 to 2026-03-03",
        ),
        (["' or 1=1"], 1, "No bars of ' or 1=1. There are bars of AAPL."),
        (["AAPL", "--feed", "crypto"], 1, "Feed crypto has no bars of AAPL 1Day, but us_equity_daily, us_equity."),
        (["AAPL", "--timeframe", "soon"], 2, "'soon' is not a timeframe"),
        (["AAPL", "--from", "2026-03-02", "--to", "2026-03-02"], 2, "is empty: the end is exclusive"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(arguments: list[str], code: int, told: str) -> None:
    answer = run(*arguments)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert told in answer.stderr


def test_a_database_that_dbt_has_not_built(chosen: Settings) -> None:
    use(chosen.model_copy(update={"snowflake_database": "NOT_BUILT"}))
    answer = run("BTC/USD")
    assert answer.exit_code == 1
    assert "MARTS is not built yet: take a feed's days through the stages" in answer.stderr
