"""What must be there, against a calendar of another source and against a feed that is simulated day by day."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.market.bars import Timeframe
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.freshness import due, expected, judge, newest_bar
from crypto_platform.market.sessions import nyse, trading_hours
from crypto_platform.market.symbol_history import Periods

NEW_YORK = ZoneInfo("America/New_York")
ONE_DAY = timedelta(days=1)
CRYPTO = FeedSpec(asset_class="crypto", symbols=("BTC/USD", "ETH/USD"), start_date="2010-01-01")
STOCKS = FeedSpec(asset_class="us_equity", symbols=("SPY", "AAPL"), timeframe="15Min", start_date="2010-01-01")
# The years of the oracle's file.
FIRST, LAST = date(1998, 1, 2), date(2027, 12, 31)
# Early closes that its file lacks (fixtures/exchange/SOURCE.md).
UNKNOWN_TO_THE_ORACLE = [date(1998, 11, 27), date(1998, 12, 24), date(1999, 12, 31)]

moments = st.datetimes(datetime(2011, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@cache
def exceptional() -> dict[date, str]:
    """Closing time in New York of the days that are not as usual; empty: closed."""
    path = Path(__file__).parents[1] / "fixtures" / "exchange" / "new-york-days.csv"
    with path.open() as file:
        return {date.fromisoformat(row["date"]): row["close_et"] for row in csv.DictReader(file)}


def new_york_hours(day: date) -> tuple[datetime, datetime] | None:
    """Regular hours in UTC by the oracle alone."""
    if day.weekday() >= 5 or exceptional().get(day) == "":
        return None
    closes = time.fromisoformat(exceptional().get(day) or "16:00")
    opens = datetime.combine(day, time(9, 30), NEW_YORK)
    return opens.astimezone(UTC), datetime.combine(day, closes, NEW_YORK).astimezone(UTC)


def days(first: date, last: date) -> list[date]:
    return [first + ONE_DAY * n for n in range((last - first).days + 1)]


def test_the_hours_are_those_of_the_other_source_on_every_day_of_28_years() -> None:
    last = min(LAST, nyse().last_session.date())
    different = [d for d in days(FIRST, last) if trading_hours("us_equity", d) != new_york_hours(d)]
    assert different == UNKNOWN_TO_THE_ORACLE
    closes = [hours[1].astimezone(NEW_YORK) for d in different if (hours := trading_hours("us_equity", d))]
    assert [f"{moment:%H:%M}" for moment in closes] == ["13:00"] * 3


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2026-03-06", "14:30", "21:00"),
        ("2026-03-09", "13:30", "20:00"),  # New York's clocks went forward on the 8th, Europe's did not
        ("2026-10-30", "13:30", "20:00"),
        ("2026-11-02", "14:30", "21:00"),  # and back on the 1st
        ("2026-11-27", "14:30", "18:00"),  # the day after Thanksgiving
    ],
)
def test_hours_around_the_clock_changes_and_an_early_close(day: str, opens: str, closes: str) -> None:
    hours = trading_hours("us_equity", date.fromisoformat(day))
    assert hours and [f"{moment:%H:%M}" for moment in hours] == [opens, closes]


def test_a_day_beyond_the_calendar_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="not 1950-01-02"):
        trading_hours("us_equity", date(1950, 1, 2))


@given(moments, st.sampled_from(["1Min", "5Min", "15Min", "1Hour"]), st.integers(0, 120), st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_what_a_stock_feed_must_hold_is_what_the_other_source_says(
    at: datetime, timeframe: str, delay: int, minutes: int
) -> None:
    spec = STOCKS.model_copy(
        update={
            "timeframe": timeframe,
            "vendor_delay_minutes": delay,
            "max_run_minutes": minutes,
            "no_trade_tolerance_minutes": 0,
        }
    )
    due_from = timedelta(minutes=delay + minutes)
    day = at.date()
    while not (hours := new_york_hours(day)) or datetime.combine(day + ONE_DAY, time(), UTC) + due_from > at:
        day -= ONE_DAY
    found = expected(spec, at)
    assert found and found.day == day
    # The last start on the grid whose bar is not beyond the close: of 1-hour bars 15:00 to 16:00 in New York.
    assert found.bar_start == hours[1] - Timeframe.parse(timeframe).delta
    assert found.due == datetime.combine(day + ONE_DAY, time(), UTC) + due_from <= at


@given(moments, st.integers(0, 120), st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_of_daily_bars_a_feed_must_hold_the_newest_session_that_is_over_in_new_york(
    at: datetime, delay: int, minutes: int
) -> None:
    spec = STOCKS.model_copy(update={"timeframe": "1Day", "vendor_delay_minutes": delay, "max_run_minutes": minutes})
    ends = lambda day: datetime.combine(day + ONE_DAY, time(), NEW_YORK).astimezone(UTC)  # noqa: E731
    day = at.date()
    while not new_york_hours(day) or ends(day) + timedelta(minutes=delay + minutes) > at:
        day -= ONE_DAY
    found = expected(spec, at)
    assert found and found.day == day
    assert found.bar_start == datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
    assert found.due == due(spec, day) == ends(day) + timedelta(minutes=delay + minutes)
    day = at.date()
    while not new_york_hours(day) or ends(day) + timedelta(minutes=delay) > at:
        day -= ONE_DAY
    assert newest_bar(spec, at) == datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


@given(moments)
@settings(deadline=None, max_examples=200)
def test_crypto_must_hold_yesterday_once_it_is_due(at: datetime) -> None:
    found = expected(CRYPTO, at)
    midnight = datetime.combine(at.date(), time(), UTC)
    day = at.date() - ONE_DAY * (1 if at >= midnight + timedelta(minutes=31) else 2)
    assert found and found.day == day
    assert found.bar_start == datetime.combine(day, time(23, 49), UTC)


@pytest.mark.parametrize("spec", [CRYPTO, STOCKS], ids=["crypto", "stocks"])
@given(at=moments, later=st.timedeltas(timedelta(0), timedelta(days=20)))
@settings(deadline=None, max_examples=100)
def test_what_must_be_there_never_goes_back(spec: FeedSpec, at: datetime, later: timedelta) -> None:
    before, after = expected(spec, at), expected(spec, at + later)
    assert before and after
    assert (before.day, before.bar_start, before.due) <= (after.day, after.bar_start, after.due)
    live, live_after = newest_bar(spec, at), newest_bar(spec, at + later)
    assert live and live_after and live <= live_after
    assert live >= before.bar_start


@pytest.mark.parametrize("spec", [CRYPTO, STOCKS], ids=["crypto", "stocks"])
def test_a_feed_that_runs_on_time_is_never_late_and_one_that_stops_is_late_when_due(spec: FeedSpec) -> None:
    """A year with all its weekends, holidays and clock changes, looked at every 30 minutes."""
    held: dict[str, datetime] = {}
    newest, stopped = date(2025, 9, 30), date(2026, 9, 1)
    at, end = datetime(2025, 10, 2, tzinfo=UTC), datetime(2026, 9, 8, tzinfo=UTC)
    late_from = None
    while at < end:
        day = at.date() - ONE_DAY
        whole = datetime.combine(at.date(), time(), UTC) + spec.vendor_delay + timedelta(minutes=5)
        hours = trading_hours(spec.asset_class, day)
        if newest < day < stopped and at >= whole and hours:
            # The last bars did not trade: a quiet end of the session.
            held = dict.fromkeys(spec.symbols, hours[1] - spec.quiet)
            newest = day
        if held:
            wanted = expected(spec, at)
            assert wanted
            verdict = judge("feed", spec, at, newest, newest >= wanted.day, held)
            if verdict.state != "fresh":
                late_from = late_from or at
                assert f"--to {wanted.day + ONE_DAY}" in verdict.remediation
        at += timedelta(minutes=30)
    assert late_from
    assert due(spec, stopped) <= late_from < due(spec, stopped) + timedelta(minutes=30)


def test_the_running_session_counts_for_a_feed_that_is_always_on() -> None:
    def newest(text: str) -> str:
        return f"{newest_bar(STOCKS, datetime.fromisoformat(text).replace(tzinfo=UTC)):%m-%d %H:%M}"

    # Thursday the 2nd closes at 20:00 UTC; Friday the 3rd of April 2026 is Good Friday.
    assert newest("2026-04-02 13:40") == "04-01 18:45"
    assert newest("2026-04-02 17:01") == "04-02 15:30"
    assert newest("2026-04-02 20:16") == "04-02 18:45"
    assert newest("2026-04-05 12:00") == "04-02 18:45"


AT = datetime(2026, 4, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("newest_day", "has_day", "bars", "state", "words", "mend"),
    [
        (None, False, {}, "late", "no day was ever materialised", "--from 2026-04-05 --to 2026-04-06"),
        (date(2026, 4, 1), False, {}, "late", "the newest day is 2026-04-01", "--from 2026-04-02 --to 2026-04-06"),
        # A backfill of a later day, or of an old one, is no excuse.
        (date(2026, 4, 5), True, {}, "late", "BTC/USD has none, ETH/USD has none", "--from 2026-04-05"),
        (date(2026, 4, 5), True, {"BTC/USD": "23:40", "ETH/USD": "23:59"}, "partly late", "BTC/USD ends at", "--from"),
        (date(2026, 4, 5), True, {"BTC/USD": "23:49", "ETH/USD": "23:59"}, "fresh", "2026-04-05 is there", ""),
    ],
)
def test_the_verdict_says_what_is_wrong_since_when_and_what_mends_it(
    newest_day: date | None, has_day: bool, bars: dict[str, str], state: str, words: str, mend: str
) -> None:
    held = {s: datetime.fromisoformat(f"2026-04-05 {hour}").replace(tzinfo=UTC) for s, hour in bars.items()}
    verdict = judge("crypto", CRYPTO, AT, newest_day, has_day, held)
    assert (verdict.state, words in verdict.says, mend in verdict.remediation) == (state, True, True), verdict
    if state != "fresh":
        assert "due since 2026-04-06 00:31 UTC" in verdict.says


def test_a_ticker_that_ended_is_not_late_and_one_that_begins_again_is() -> None:
    at = datetime(2026, 4, 7, 12, tzinfo=UTC)  # Monday the 6th is due
    held = {"AAPL": datetime(2026, 4, 6, 19, 45, tzinfo=UTC)}
    ended: Periods = {"SPY": [(None, date(2026, 4, 6))]}
    verdict = judge("us_equity", STOCKS, at, date(2026, 4, 6), True, held, ended)
    assert verdict.state == "fresh", verdict
    assert judge("us_equity", STOCKS, at, date(2026, 4, 6), True, {}, ended).state == "late"
    for periods in ({"SPY": [(None, date(2026, 4, 7))]}, {"SPY": [*ended["SPY"], (date(2026, 4, 6), None)]}, {}):
        assert judge("us_equity", STOCKS, at, date(2026, 4, 6), True, held, periods).late == {"SPY": None}


@pytest.mark.parametrize(
    ("halted", "newest", "state"),
    [
        # The session of the 6th opens at 13:30; its bars are due to 18:45, an hour of silence allowed.
        (None, "18:45", "fresh"),
        (None, "15:00", "partly late"),
        ("15:07", "15:00", "fresh"),
        ("15:07", "13:45", "fresh"),
        # What was to come before the halt is missing.
        ("15:07", "13:30", "partly late"),
        ("18:31", "13:30", "partly late"),
        ("13:40", None, "fresh"),
        ("13:45", None, "partly late"),
        # Since another day.
        ("-72:00", None, "fresh"),
    ],
)
def test_a_halted_symbol_is_due_up_to_its_halt(halted: str | None, newest: str | None, state: str) -> None:
    def moment(text: str) -> datetime:
        hours, minutes = text.split(":")
        return datetime(2026, 4, 6, tzinfo=UTC) + timedelta(hours=int(hours), minutes=int(minutes))

    held = {"AAPL": moment("19:45")} | ({"SPY": moment(newest)} if newest else {})
    halts = {"SPY": moment(halted)} if halted else {}
    at = datetime(2026, 4, 7, 12, tzinfo=UTC)
    verdict = judge("us_equity", STOCKS, at, date(2026, 4, 6), True, held, halted=halts)
    assert verdict.state == state, verdict


def test_nothing_is_due_before_the_feeds_first_day_is() -> None:
    young = CRYPTO.model_copy(update={"start_date": date(2026, 4, 6)})
    assert judge("crypto", young, AT, None, False, {}).state == "fresh"
