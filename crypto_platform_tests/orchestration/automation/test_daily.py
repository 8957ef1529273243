from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from exchange_calendars import get_calendar

from crypto_platform.dagster_instance.run_days import range_tags
from crypto_platform.defs.schedules import schedules
from crypto_platform.market import freshness
from crypto_platform.market.day_ranges import days_in
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.sessions import trading_hours
from crypto_platform.orchestration.automation import daily
from crypto_platform.orchestration.history import last_stage
from crypto_platform.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")
FEEDS = {
    "crypto": feeds()["crypto"],
    "us_equity": feeds()["us_equity"],
    "daily stocks": feeds()["us_equity"].model_copy(update={"timeframe": "1Day"}),
    "daily coins": feeds()["crypto"].model_copy(update={"timeframe": "1Day"}),
}
LIVE = Settings(daily_schedules_enabled=True)
DAY = timedelta(days=1)


def ticks(feed: str, start: date, end: date) -> list[datetime]:
    """When Dagster's daemon ticks between two UTC midnights."""
    from_, to = (datetime.combine(day, datetime.min.time(), UTC).timestamp() for day in (start, end))
    spec = FEEDS[feed]
    times = schedule_execution_time_iterator(from_, daily.cron(spec), daily.timezone(spec), ascending=True)
    return [t.astimezone(UTC) for t in takewhile(lambda t: t.timestamp() < to, times)]


@pytest.mark.parametrize("feed", FEEDS)
def test_over_a_year_every_day_is_asked_for_once_after_its_end(feed: str) -> None:
    """Weekends, holidays, early closes and both changes of the clocks."""
    spec = FEEDS[feed]
    there = {date(2025, 12, 31)}
    asked = {}
    for tick in ticks(feed, date(2026, 1, 2), date(2027, 1, 1)):
        if daily.reason_to_wait(spec, tick):
            continue
        days = daily.days_due(daily.newest_whole_day(spec, tick), there, [])
        assert days
        assert days[1] == tick.date()
        for day in days_in(days):
            assert day not in there
            there.add(day)
            asked[day] = tick
    assert set(asked) == {date(2026, 1, 1) + n * DAY for n in range(len(asked))}
    assert max(asked) == date(2026, 12, 30)

    for day, tick in asked.items():
        # Never before the vendor's answer is final, never when the freshness check calls the day late.
        over = datetime.combine(day + DAY, datetime.min.time(), NEW_YORK if feed == "daily stocks" else UTC)
        assert tick - over > spec.vendor_delay
        if trading_hours(spec.asset_class, day):
            assert tick < freshness.due(spec, day)
    if spec.asset_class == "us_equity":
        calendar = get_calendar("XNYS")
        sessions = [s.date() for s in calendar.sessions_in_range("2026-01-01", "2026-12-30")]
        assert sorted({tick.date() - DAY for tick in asked.values()}) == sessions
        for session in sessions:
            assert calendar.session_close(session.isoformat()) < asked[session]


@pytest.mark.parametrize(
    ("day", "asks"),
    [
        ("2026-07-02", True),
        ("2026-07-03", False),  # Independence Day, observed
        ("2026-07-04", False),  # a Saturday
        ("2026-11-26", False),  # Thanksgiving
        ("2026-11-27", True),  # closes at 13:00
        ("2026-03-09", True),  # the first session after the clocks went forward
        ("2026-11-02", True),  # and back
    ],
)
def test_stocks_are_asked_for_after_sessions_only(day: str, asks: bool) -> None:
    tick = datetime.fromisoformat(f"{day}T00:20:00").replace(tzinfo=UTC) + DAY
    assert (daily.reason_to_wait(feeds()["us_equity"], tick) is None) == asks


def test_recordings_have_no_new_days() -> None:
    assert "recordings" in (daily.reason_not_to_ask(Settings()) or "")
    for settings in (
        Settings(sandbox_simulated=True),
        Settings(apca_api_data_url="https://data.alpaca.markets"),
        Settings(daily_schedules_enabled=True),
    ):
        assert daily.reason_not_to_ask(settings) is None
    assert (
        daily.reason_not_to_ask(Settings(sandbox_simulated=True, daily_schedules_enabled=False))
        == "DAILY_SCHEDULES_ENABLED is false"
    )


def test_days_that_a_run_works_on_are_left_to_it() -> None:
    d = date.fromisoformat
    there = {d("2026-03-01")}
    assert daily.days_due(d("2026-03-05"), there, []) == (d("2026-03-02"), d("2026-03-06"))
    assert daily.days_due(d("2026-03-05"), there, [(d("2026-03-01"), d("2026-03-04"))]) == (
        d("2026-03-04"),
        d("2026-03-06"),
    )
    assert daily.days_due(d("2026-03-05"), there, [(d("2026-03-02"), d("2026-03-06"))]) is None
    # One that works on a later day only leaves the days before it.
    assert daily.days_due(d("2026-03-05"), there, [(d("2026-03-04"), d("2026-03-05"))]) == (
        d("2026-03-02"),
        d("2026-03-06"),
    )


TICK = datetime(2026, 9, 8, 0, 5, tzinfo=UTC)


def test_missed_ticks_are_caught_up_in_one_run() -> None:
    with dg.instance_for_test() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(last_stage("crypto"), partition="2026-09-01"))
        # Back after a week, the daemon goes through the ticks it missed.
        first = daily.due(instance, LIVE, "crypto", TICK - timedelta(days=4), TICK)
        assert first.days == (date(2026, 9, 2), date(2026, 9, 8))
        run = instance.create_run_for_job(crypto, tags=range_tags((date(2026, 9, 2), date(2026, 9, 8))))
        second = daily.due(instance, LIVE, "crypto", TICK, TICK)
        assert second.days is None
        assert "a run is working on it" in second.why
        # One that fails leaves the days to the next tick.
        instance.report_run_failed(run)
        assert daily.due(instance, LIVE, "crypto", TICK, TICK).days == first.days


@dg.job
def crypto() -> None:
    pass


def test_a_first_tick_asks_for_yesterday_and_says_how_to_get_the_past() -> None:
    with dg.instance_for_test() as instance:
        due = daily.due(instance, LIVE, "crypto", TICK, TICK)
        assert due.days == (date(2026, 9, 7), date(2026, 9, 8))
        assert "crypto-platform backfill --feed crypto --from 2025-01-01 --to 2026-09-07" in due.why


def test_each_feed_has_a_running_schedule_of_its_market() -> None:
    found = {s.name: s for s in schedules().schedules or ()}
    assert set(found) == {"crypto_schedule", "us_equity_schedule", "us_equity_daily_schedule"}
    assert {s.default_status for s in found.values()} == {dg.DefaultScheduleStatus.RUNNING}
    assert {(s.cron_schedule, s.execution_timezone) for s in found.values()} == {
        ("5 0 * * *", "UTC"),
        ("20 0 * * *", "UTC"),
        ("20 0 * * *", "America/New_York"),
    }
