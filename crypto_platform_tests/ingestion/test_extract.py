import json
import logging
import socket
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca import client as client_module
from crypto_platform.connectors.alpaca import plan as plan_module
from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.alpaca.errors import (
    AlpacaError,
    AlpacaUnavailableError,
    NothingRecordedError,
    UnknownSymbolError,
)
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.ingestion import extract as extract_module
from crypto_platform.ingestion.extract import BarsRequest, extract
from crypto_platform.sandbox.alpaca import launch
from crypto_platform_tests import factories
from crypto_platform_tests.connectors.alpaca.conftest import KEY, SECRET, Server, contents, crypto, settings_for, stocks

START, END = date(2026, 3, 1), date(2026, 3, 9)
EIGHT_DAYS = crypto(START, END)  # 11,520 bars a symbol: two pages each

NewLake = Callable[..., Lake]


def fetch(server: Server, lake: Lake, request: BarsRequest, **changes: object):
    with AlpacaClient(settings_for(server.url, **changes)) as client:
        return extract(client, lake, request, "run")


@pytest.fixture(scope="session")
def undisturbed(one_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict:
    lake = Lake(str(tmp_path_factory.mktemp("undisturbed")))
    report = fetch(one_server, lake, EIGHT_DAYS)
    assert report.retries == {}
    assert report.pages == report.requests == 4
    return contents(lake)


def test_the_lake_holds_what_the_api_serves(server: Server, new_lake: NewLake) -> None:
    """Against the API read with nothing of ours: one page a day, both ends inclusive."""
    lake = new_lake()
    report = fetch(server, lake, EIGHT_DAYS)
    for day in (START, END - timedelta(days=1)):
        for symbol in EIGHT_DAYS.symbols:
            body = requests.get(
                f"{server.url}/v1beta3/crypto/us/bars",
                params={
                    "symbols": symbol,
                    "timeframe": "1Min",
                    "start": f"{day}T00:00:00Z",
                    "end": f"{day}T23:59:00Z",
                    "limit": 10_000,
                },
                timeout=10,
            ).json()
            served = [{"symbol": symbol, "timeframe": "1Min", **bar} for bar in body["bars"][symbol]]
            assert len(served) == 1440
            read = lake.read_day("crypto", "1Min", day).sections[symbol]
            assert [json.loads(line) for line in read.lines] == served
            assert report.days[day][symbol] == 1440
    assert report.bars == 8 * 2 * 1440
    assert report.bars_per_second > 0
    assert report.complete_until == datetime(2026, 3, 9, tzinfo=UTC)


PASSING = {
    "rate_limit": "429",
    "server_error": "500",
    "gateway_timeout": "504",
    "html": "502",
    "half_body": "cut body",
    "duplicated_page": "repeated page",
    "future": "outside range",
}


@pytest.mark.parametrize(("kind", "cause"), PASSING.items())
@pytest.mark.parametrize("skip", [0, 2])
def test_a_fault_that_passes_leaves_no_trace_in_the_lake(
    server: Server, new_lake: NewLake, undisturbed: dict, kind: str, cause: str, skip: int
) -> None:
    lake = new_lake()
    server.arm(kind, times=1 if skip else 2, skip=skip)
    report = fetch(server, lake, EIGHT_DAYS)
    assert server.fired() >= 1
    assert report.retries.get(cause) == server.fired()
    assert contents(lake) == undisturbed


def test_a_hang_is_given_up_and_asked_again(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    lake = new_lake()
    server.arm("hang", times=1, skip=1)
    report = fetch(server, lake, EIGHT_DAYS, alpaca_timeout_seconds=1)
    assert server.fired() == 1
    assert report.retries == {"timeout": 1}
    assert contents(lake) == undisturbed


LASTING = {
    "rate_limit": "HTTP 429: 'too many requests.'",
    "server_error": "HTTP 500: 'internal server error'",
    "gateway_timeout": "HTTP 504",
    "html": "HTTP 502: '<html>",
    "half_body": "cut short",
    "hang": "no answer in time",
    "duplicated_page": "one page came 3 times",
    "looping_token": "leads back to an earlier page",
    "future": "leave the requested range",
}


@pytest.mark.parametrize(("kind", "words"), LASTING.items())
def test_a_fault_that_lasts_is_said_and_a_rerun_heals(
    server: Server,
    new_lake: NewLake,
    undisturbed: dict,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    words: str,
) -> None:
    lake = new_lake()
    server.arm(kind, times=1000, skip=1, **({"seconds": 0.1} if kind == "rate_limit" else {}))
    with caplog.at_level(logging.DEBUG), pytest.raises(AlpacaUnavailableError) as failed:
        fetch(server, lake, EIGHT_DAYS, alpaca_timeout_seconds=0.3, alpaca_max_attempts=2)
    said = str(failed.value)
    assert server.fired() >= 2
    assert words in said
    assert "/USD 1Min [2026-03-01T00:00, 2026-03-09T00:00)" in said
    assert "run the range again, or raise ALPACA_MAX_ATTEMPTS" in said
    assert len(said) < 600
    assert KEY not in caplog.text + said
    assert SECRET not in caplog.text + said
    assert contents(lake).items() <= undisturbed.items()

    server.clear()
    fetch(server, lake, EIGHT_DAYS)
    assert contents(lake) == undisturbed


def test_days_written_before_a_fault_stay_whole(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    lake = new_lake()
    server.arm("server_error", times=1000, skip=2)
    with pytest.raises(AlpacaUnavailableError):
        fetch(server, lake, EIGHT_DAYS, alpaca_concurrency=1)
    written = contents(lake)
    assert list(written) == [START + timedelta(days=n) for n in range(6)], "the first pages reach six days"
    assert written.items() <= undisturbed.items()


def test_an_empty_day_is_counted_zeros(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    lake = new_lake()
    day = START + timedelta(days=3)
    server.arm("empty", match={"start": f"{day}T00:00:00Z", "end": f"{day + timedelta(days=1)}T00:00:00Z"})
    report = fetch(server, lake, EIGHT_DAYS)
    assert server.fired() >= 1
    assert report.days[day] == {"BTC/USD": 0, "ETH/USD": 0}
    empty = lake.read_day("crypto", "1Min", day).sections
    assert {symbol: section.lines for symbol, section in empty.items()} == {"BTC/USD": [], "ETH/USD": []}
    assert {**contents(lake), day: undisturbed[day]} == undisturbed

    server.clear()
    fetch(server, lake, crypto(day, day + timedelta(days=1)))
    assert contents(lake) == undisturbed


def test_a_symbol_without_data_is_counted_zeros(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    lake = new_lake()
    server.arm("empty", match={"symbol": "ETH/USD"})
    report = fetch(server, lake, EIGHT_DAYS)
    assert server.fired() >= 1
    assert {counts["ETH/USD"] for counts in report.days.values()} == {0}
    assert {counts["BTC/USD"] for counts in report.days.values()} == {1440}


def test_nan_reaches_the_lake_as_no_number(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    """What to think of it is for the rules of the load to say, and it does not stop the other bars."""
    lake = new_lake()
    server.arm("nan", match={"symbol": "BTC/USD"})
    fetch(server, lake, EIGHT_DAYS)
    assert server.fired() == 1
    lines = lake.read_day("crypto", "1Min", START).sections["BTC/USD"].lines
    assert json.loads(lines[0])["c"] is None
    assert lines[1:] == undisturbed[START]["BTC/USD"][1:]


@pytest.mark.sandbox
def test_of_a_universe_an_unknown_symbol_is_left_out_and_each_day_has_its_members(
    new_lake: NewLake, tmp_path: Path
) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    days = [date(2026, 3, 2), date(2026, 3, 3)]
    for symbol in ("AAPL", "NVDA", "TWTR"):
        lines = [f"{symbol},{day}T14:30:00Z,1,2,1,2,10" for day in days]
        header = "symbol,timestamp,open,high,low,close,volume"
        (recordings / f"{symbol}_15Min.csv").write_text("\n".join([header, *lines]))
    lake = new_lake()
    members = {days[0]: ("AAPL", "TWTR", "WHO"), days[1]: ("AAPL", "NOBODY", "NVDA")}
    request = stocks(days[0], days[1] + timedelta(days=1), ("AAPL", "NOBODY", "NVDA", "TWTR", "WHO"))
    with launch.running(recordings) as url, AlpacaClient(settings_for(url)) as client:
        report = extract(client, lake, request, "run", members=members)
    assert report.unknown == ("NOBODY", "WHO")
    expected = {days[0]: {"AAPL": 1, "TWTR": 1}, days[1]: {"AAPL": 1, "NVDA": 1}}
    assert report.days == expected
    assert {day: lake.counts("us_equity", "15Min", day) for day in days} == expected


@pytest.mark.sandbox
def test_one_unknown_symbol_fails_by_name_before_any_day_is_written(new_lake: NewLake, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "AAPL_15Min.csv").write_text(
        "symbol,timestamp,open,high,low,close,volume\nAAPL,2026-03-02T14:30:00Z,1,2,1,2,10\n"
    )
    lake = new_lake()
    with launch.running(recordings) as url:
        known = fetch(Server(url), new_lake("known"), stocks(START, END, ("AAPL",)))
        assert known.bars == 1
        with pytest.raises(UnknownSymbolError, match=r"defs/us_equity/defs\.yaml") as failed:
            fetch(Server(url), lake, stocks(START, END, ("AAPL", "NOSUCH")))
    assert failed.value.symbol == "NOSUCH"
    assert lake.days("us_equity", "15Min") == []


def test_no_connection_says_where_it_was_looked_for(new_lake: NewLake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    closed = Server(f"http://127.0.0.1:{port}")
    with pytest.raises(AlpacaUnavailableError, match=f"no connection to {closed.url}.*refused") as failed:
        fetch(closed, new_lake(), EIGHT_DAYS)
    assert SECRET not in str(failed.value)


def test_more_pages_than_allowed_is_an_error_not_a_short_day(server: Server, new_lake: NewLake) -> None:
    with pytest.raises(AlpacaError, match=r"more than 1 pages.*ALPACA_MAX_PAGES"):
        fetch(server, new_lake(), EIGHT_DAYS, alpaca_max_pages=1)


def test_some_symbols_leave_the_others_in_their_days(server: Server, new_lake: NewLake, undisturbed: dict) -> None:
    lake = new_lake()
    fetch(server, lake, crypto(START, END, ("ETH/USD",)))
    fetch(server, lake, crypto(START, END, ("BTC/USD",)))
    assert contents(lake) == undisturbed


def test_many_symbols_of_a_day_share_requests(server: Server, new_lake: NewLake) -> None:
    symbols = tuple(f"S{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(500))
    lake = new_lake()
    report = fetch(server, lake, stocks(date(2026, 3, 4), date(2026, 3, 5), symbols))
    assert report.requests <= 8
    assert len(report.days[date(2026, 3, 4)]) == 500
    assert report.bars > 500 * 26


def test_a_day_without_a_session_is_counted_zeros(server: Server, new_lake: NewLake) -> None:
    friday, sunday = date(2026, 3, 6), date(2026, 3, 8)
    report = fetch(server, new_lake(), stocks(friday, sunday + timedelta(days=1), ("AAPL", "SPY")))
    assert report.days[sunday] == {"AAPL": 0, "SPY": 0}
    assert min(report.days[friday].values()) > 0


def test_bars_that_have_not_ended_are_left_out(server: Server, new_lake: NewLake) -> None:
    lake, today = new_lake(), datetime.now(UTC).date()
    before = datetime.now(UTC)
    report = fetch(server, lake, crypto(today, today + timedelta(days=1)))
    after = datetime.now(UTC)
    step = timedelta(minutes=1)
    assert before - step < report.complete_until <= after
    lines = lake.read_day("crypto", "1Min", today).sections["BTC/USD"].lines
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    assert len(lines) == (report.complete_until - midnight) // step


def test_a_day_that_has_not_begun_is_refused(server: Server, new_lake: NewLake) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with pytest.raises(ValueError, match="has not begun yet"):
        fetch(server, new_lake(), crypto(tomorrow - timedelta(days=1), tomorrow + timedelta(days=2)))


def test_each_section_knows_when_its_page_was_asked_for(server: Server, new_lake: NewLake) -> None:
    lake = new_lake()
    before = datetime.now(UTC)
    fetch(server, lake, EIGHT_DAYS)
    after = datetime.now(UTC)
    first, last = (lake.read_day("crypto", "1Min", day).sections for day in (START, END - timedelta(days=1)))
    for symbol in EIGHT_DAYS.symbols:
        assert before <= first[symbol].observed_at < last[symbol].observed_at <= after


def test_progress_counts_up_to_the_whole_range(server: Server, new_lake: NewLake) -> None:
    seen: list[tuple[int, int, int]] = []
    with AlpacaClient(settings_for(server.url)) as client:
        extract(client, new_lake(), EIGHT_DAYS, "run", lambda *step: seen.append(step))
    assert seen == [(n, 8, n * 2880) for n in range(1, 9)]


def test_no_thread_is_left_after_a_run(server: Server, new_lake: NewLake) -> None:
    fetch(server, new_lake(), EIGHT_DAYS)
    for thread in threading.enumerate():
        if thread.name.startswith("alpaca-"):
            thread.join(10)
            assert not thread.is_alive()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(0, 20),
    days=st.integers(1, 7),
    symbols=st.sets(st.sampled_from(["ADA/USD", "BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"]), min_size=1),
    page_bars=st.integers(8, 60),
    held_bars=st.integers(1, 600),
    concurrency=st.integers(1, 5),
)
def test_pages_windows_and_threads_make_no_difference(
    one_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    first: int,
    days: int,
    symbols: set[str],
    page_bars: int,
    held_bars: int,
    concurrency: int,
) -> None:
    start = START + timedelta(days=first)
    request = crypto(start, start + timedelta(days=days), tuple(symbols), "1Hour")
    whole = Lake(str(tmp_path_factory.mktemp("whole")))
    fetch(one_server, whole, request)
    with pytest.MonkeyPatch.context() as patch:
        for module in (client_module, plan_module):
            patch.setattr(module, "PAGE_BARS", page_bars)
        patch.setattr(plan_module, "HELD_BARS", held_bars)
        split = Lake(str(tmp_path_factory.mktemp("split")))
        report = fetch(one_server, split, request, alpaca_concurrency=concurrency)
    assert report.pages >= report.bars / page_bars
    assert contents(split, timeframe="1Hour") == contents(whole, timeframe="1Hour")
    assert list(report.days) == [start + timedelta(days=n) for n in range(days)]
    assert all(counts == dict.fromkeys(sorted(symbols), 24) for counts in report.days.values())


def test_a_day_is_asked_for_once_it_is_over_in_new_york(
    server: Server, new_lake: NewLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 03:59 UTC of 2026-03-10, an hour after New York's clocks went on a day before, the 9th still runs there."""
    request = stocks(date(2026, 3, 5), date(2026, 3, 10), ("SPY", "AAPL"), "1Day")
    for now, bars, until in (
        (datetime(2026, 3, 10, 3, 59, tzinfo=UTC), [1, 1, 0, 0, 0], datetime(2026, 3, 9, 4, tzinfo=UTC)),
        (datetime(2026, 3, 10, 4, tzinfo=UTC), [1, 1, 0, 0, 1], datetime(2026, 3, 10, tzinfo=UTC)),
    ):
        monkeypatch.setattr(extract_module, "datetime", type("At", (datetime,), {"now": lambda _zone, now=now: now}))
        lake = new_lake(f"{now:%H%M}")
        report = fetch(server, lake, request)
        assert report.complete_until == until
        assert [list(symbols.values()) for symbols in report.days.values()] == [[n, n] for n in bars]
        starts = {
            symbol: [json.loads(line)["t"] for day in lines.values() for line in day[symbol]]
            for symbol in request.symbols
            for lines in [contents(lake, "us_equity", "1Day")]
        }
        labels = ["2026-03-05T05:00:00Z", "2026-03-06T05:00:00Z", "2026-03-09T04:00:00Z"]
        assert starts == dict.fromkeys(request.symbols, labels[: sum(bars)])


def test_a_new_field_and_a_renamed_one_are_reported(server: Server, new_lake: NewLake) -> None:
    day = crypto(START, START + timedelta(days=1))
    assert not fetch(server, new_lake(), day).drift
    server.arm("new_field")
    drift = fetch(server, new_lake(), day).drift
    assert (drift.unknown, drift.gone) == ({"x": 1440 * len(day.symbols)}, ())
    server.arm("renamed_field")
    drift = fetch(server, new_lake(), day).drift
    assert (drift.gone, list(drift.unknown)) == (("o",), ["open", "x"])


@pytest.mark.sandbox
def test_recordings_of_another_timeframe_are_refused_and_say_what_they_are_of(cases: Path, new_lake: NewLake) -> None:
    request = crypto(date(2022, 3, 8), date(2022, 3, 10), ("BTC/USD",))
    lake = new_lake()
    kept = {"BTC/USD": Section(datetime(2022, 4, 1, tzinfo=UTC), [factories.line("BTC/USD", factories.bar(0), "1Min")])}
    lake.write_day("crypto", "1Min", request.start, kept, "before")
    before = contents(lake)
    with launch.running(cases / "other-timeframe", False) as url, pytest.raises(NothingRecordedError) as refused:
        fetch(Server(url), lake, request)
    assert str(refused.value).startswith(
        "the recordings have no 1Min bar of BTC/USD in [2022-03-08, 2022-03-10). They hold BTC/USD 1Day: 2 bars, "
        "2022-03-08T06:00:00Z to 2022-03-09T06:00:00Z, from BTC-USD_1Day.csv. Choose "
    )
    assert contents(lake) == before


@pytest.mark.sandbox
def test_recordings_of_a_part_of_the_range_are_taken_and_so_is_a_weekend_without_any(
    tmp_path: Path, new_lake: NewLake
) -> None:
    row = "SPY,2026-03-05T15:00:00Z,1,2,0.5,1.5,3"
    (tmp_path / "bars_15m.csv").write_text(f"symbol,timestamp,open,high,low,close,volume\n{row}\n")
    with launch.running(tmp_path, False) as url:
        covered = fetch(Server(url), new_lake("one"), stocks(date(2026, 3, 3), date(2026, 3, 7), ("SPY",)))
        weekend = fetch(Server(url), new_lake("two"), stocks(date(2026, 3, 7), date(2026, 3, 9), ("SPY",)))
        with pytest.raises(NothingRecordedError, match=r"no 15Min bar of SPY in \[2026-03-06, 2026-03-09\)"):
            fetch(Server(url), new_lake("three"), stocks(date(2026, 3, 6), date(2026, 3, 9), ("SPY",)))
    assert [sum(symbols.values()) for symbols in covered.days.values()] == [0, 0, 1, 0]
    assert len(new_lake("one").days("us_equity", "15Min")) == 4
    assert (weekend.bars, len(new_lake("two").days("us_equity", "15Min"))) == (0, 2)
    assert new_lake("three").days("us_equity", "15Min") == []
