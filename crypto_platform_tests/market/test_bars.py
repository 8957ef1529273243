import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.market import bars, dataset

SYMBOLS = {name: st.from_regex(rf"\A{pattern}\Z") for name, pattern in bars.SYMBOL_PATTERNS.items()}
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
alpaca_bars = st.fixed_dictionaries(
    {"t": st.datetimes().map(lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ}"), "o": numbers, "h": numbers, "v": numbers},
    optional={"n": st.integers(0, 10**9), "vw": numbers},
)


@given(SYMBOLS["crypto"] | SYMBOLS["us_equity"], alpaca_bars)
def test_a_line_is_the_bar_with_symbol_and_timeframe_in_front(symbol: str, bar: dict) -> None:
    line = bars.encode(bars.line_prefix(symbol, "1Min"), bar)
    assert b"\n" not in line
    assert json.loads(line) == {"symbol": symbol, "timeframe": "1Min", **bar}
    assert list(json.loads(line)) == ["symbol", "timeframe", *bar]


@given(st.sampled_from(sorted(SYMBOLS)).flatmap(lambda name: st.tuples(st.just(name), SYMBOLS[name])))
def test_symbols_of_the_class_pass_unchanged(case: tuple) -> None:
    asset_class, symbol = case
    assert bars.check_symbol(symbol, asset_class) == symbol


@given(st.sampled_from(["crypto", "us_equity"]), st.text(max_size=30))
def test_no_text_that_could_leave_a_path_or_sql_passes(asset_class: str, text: str) -> None:
    try:
        bars.check_symbol(text, asset_class)
    except ValueError as refused:
        assert repr(text) in str(refused)
    else:
        assert re.fullmatch(r"[A-Z0-9./]+", text)
        assert ".." not in text
        assert not text.startswith("/")


@pytest.mark.parametrize("symbol", ["'; drop table x; --", "../../etc", "BTC/USD\n", "BTC", "", "btc/usd"])
def test_a_symbol_of_another_form_is_refused_with_the_form(symbol: str) -> None:
    with pytest.raises(ValueError, match="write BASE/QUOTE such as BTC/USD"):
        bars.check_symbol(symbol, "crypto")


@given(st.from_regex(rf"\A{dataset.FEED_PATTERN}\Z"))
def test_a_feed_gives_its_topic(feed: str) -> None:
    assert bars.BARS.topic(dataset.check_feed(feed)) == f"market.{feed}.bars"


@given(st.text(max_size=20))
def test_a_feed_is_a_plain_identifier(text: str) -> None:
    try:
        dataset.check_feed(text)
    except ValueError:
        return
    assert text.isidentifier()
    assert text.isascii()
    assert text == text.lower()


@pytest.mark.parametrize(
    ("name", "seconds"), [("1Min", 60), ("15Min", 900), ("30Min", 1800), ("1Hour", 3600), ("1Day", 86_400)]
)
def test_a_timeframe_is_an_even_part_of_an_hour_or_a_day(name: str, seconds: int) -> None:
    timeframe = bars.Timeframe.parse(name)
    assert timeframe in bars.TIMEFRAMES
    assert timeframe.is_daily == (name == "1Day")
    assert (timeframe.name, timeframe.seconds, timeframe.delta.total_seconds()) == (name, seconds, seconds)


@given(st.text(max_size=8) | st.integers(0, 200).map(lambda n: f"{n}Min"))
def test_any_other_timeframe_is_refused_by_name(text: str) -> None:
    try:
        timeframe = bars.Timeframe.parse(text)
    except ValueError as refused:
        assert repr(text) in str(refused)
    else:
        assert 3600 % timeframe.seconds == 0 or text == "1Day"
        assert timeframe.name == text


def test_the_columns_are_the_fields() -> None:
    assert (*bars.BARS.key, *bars.BARS.values) == tuple(field.column for field in bars.FIELDS)
    assert len({field.wire for field in bars.FIELDS}) == len(bars.FIELDS)
