"""What belongs to bars, and what is said of what cannot be read."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from crypto_platform.market.sessions import nyse
from crypto_platform.research import (
    AmbiguousFeedError,
    CoverageWarning,
    MarketData,
    RangeError,
    UnknownNameError,
    WarehouseError,
)
from crypto_platform.research.catalog import Catalog, Listing
from crypto_platform.research.moments import known_at, utc
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.research.known import CORRECTED, FIRST, LATE

DAYS = ("2026-03-01", "2026-03-02")
NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001
Reading = Callable[[MarketData], Any]


@pytest.mark.parametrize(
    ("read", "error", "says"),
    [
        pytest.param(lambda m: m.bars("APPL", *DAYS), UnknownNameError, "'APPL': is AAPL meant", id="near"),
        pytest.param(lambda m: m.bars("btc/usd", *DAYS), UnknownNameError, "is BTC/USD meant", id="case"),
        pytest.param(lambda m: m.bars(["AAPL", "ZZZZ"], *DAYS), UnknownNameError, "MarketData.symbols", id="far"),
        pytest.param(lambda m: m.bars("", *DAYS), UnknownNameError, "no feed has ''", id="nothing"),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, feed="crypto"),
            UnknownNameError,
            "feed 'crypto' has no symbol 'SPY'",
            id="feed",
        ),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, feed="x' or 1=1"), UnknownNameError, "no feed \"x' or", id="injected"
        ),
        pytest.param(lambda m: m.bars([], *DAYS), UnknownNameError, "no symbols are given", id="none"),
        pytest.param(
            lambda m: m.bars("BTC/USD", *DAYS, "2Min"),
            UnknownNameError,
            "no bars of timeframe '2Min': choose from 1Min, 5Min, 15Min, 1Hour, 1Day",
            id="timeframe",
        ),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, "5Min"), UnknownNameError, "choose from 15Min, 1Hour, 1Day", id="own"
        ),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, adjustment="dividend"), UnknownNameError, "raw, split, all", id="adjustment"
        ),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, columns=["close; drop"]),
            UnknownNameError,
            "choose from symbol, ",
            id="column",
        ),
        pytest.param(lambda m: m.bars("SPY", *DAYS, columns=[]), UnknownNameError, "no columns", id="columns"),
        pytest.param(
            lambda m: m.bars("SPY", NAIVE, DAYS[1]),
            RangeError,
            "start is 2026.*without a zone",
            id="naive",
        ),
        pytest.param(
            lambda m: m.bars("SPY", DAYS[0], pd.Timestamp("2026-03-02")),
            RangeError,
            "end is .*tz_localize",
            id="pandas",
        ),
        pytest.param(lambda m: m.bars("SPY", *reversed(DAYS)), RangeError, "is before start", id="reversed"),
        pytest.param(lambda m: m.bars("SPY", "March", DAYS[1]), RangeError, "start is 'March'", id="text"),
        pytest.param(lambda m: m.bars("SPY", 20260301, DAYS[1]), RangeError, "give a date", id="number"),
        pytest.param(lambda m: m.bars("SPY", *DAYS, as_of=NAIVE), RangeError, "as_of .*zone", id="as_of"),
        pytest.param(
            lambda m: m.bars("SPY", *DAYS, as_of=date(2026, 6, 1)), RangeError, "a moment of that day", id="day"
        ),
        pytest.param(lambda m: m.bars("SPY", *DAYS, as_of="2199-01-01T00:00Z"), RangeError, "is to come", id="future"),
        pytest.param(
            lambda m: m.bars(None, *DAYS), AmbiguousFeedError, "name either; choose from crypto, us_eq", id="all"
        ),
        pytest.param(lambda m: m.sessions(*DAYS, "XLON"), UnknownNameError, "choose from 24/7, XNYS", id="calendar"),
        pytest.param(lambda m: m.gaps("SPY", *DAYS, ["odd"]), UnknownNameError, "market_closed, halted", id="class"),
        pytest.param(lambda m: m.universe("2026-03-01", "x"), UnknownNameError, "no feed 'x'", id="universe"),
        pytest.param(lambda m: m.actions("XXX"), UnknownNameError, "no feed has 'XXX'", id="actions"),
    ],
)
def test_what_cannot_be_read_says_why(market: MarketData, read: Reading, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read(market)


def test_a_market_goes_on_after_an_error(market: MarketData) -> None:
    with pytest.raises(UnknownNameError):
        market.bars("APPL", *DAYS)
    assert market.bars("BTC/USD", *DAYS).num_rows == 1


def test_nobody_answers(snowflake: Settings, fresh_settings: Settings, unused_port: int) -> None:
    stopped = snowflake.model_copy(update={"sandbox_snowflake_port": unused_port})
    with MarketData(stopped) as market, pytest.raises(WarehouseError, match="crypto-platform up"):
        market.symbols()
    with MarketData(fresh_settings) as market, pytest.raises(WarehouseError, match="crypto-platform status"):
        market.symbols()
    account = Settings(snowflake_account="org-account")
    with MarketData(account) as market, pytest.raises(WarehouseError, match="SNOWFLAKE_PRIVATE_KEY_FILE"):
        market.symbols()


def test_nothing_was_built_yet(new_warehouse: Callable[[str], Warehouse]) -> None:
    settings = new_warehouse("UNBUILT").settings
    with MarketData(settings) as market, pytest.raises(WarehouseError, match="materialize"):
        market.bars("BTC/USD", *DAYS)


def test_an_error_of_snowflake_names_the_remedy(market: MarketData) -> None:
    from snowflake.connector.errors import ProgrammingError

    suspended = ProgrammingError("No active warehouse selected in the current session.", errno=606)
    assert "SNOWFLAKE_WAREHOUSE" in str(market._warehouse._explained(suspended))


def test_it_connects_again_after_close(researched: Warehouse) -> None:
    market = MarketData(researched.settings)
    first = market.symbols()
    market.close()
    assert market.symbols().equals(first)
    market.close()


def test_the_feed_is_the_one_that_has_the_range(market: MarketData) -> None:
    def feeds(start: str, end: str, timeframe: str = "1Day") -> set[str]:
        return set(market.bars("AAPL", start, end, timeframe, columns=["feed"])["feed"].to_pylist())

    assert feeds("2020-01-01", "2021-01-01") == {"us_equity_daily"}
    assert feeds("2025-06-01", "2025-07-01") == {"us_equity"}
    assert feeds("2020-01-01", "2026-01-01", "15Min") == {"us_equity"}
    with pytest.warns(CoverageWarning, match="feed='us_equity' reads them") as warned:
        assert feeds("2020-01-01", "2026-01-01") == {"us_equity_daily"}
    assert warned[0].filename == __file__


def listing(feed: str, timeframe: str, first: str = "2020-01-01", last: str = "2026-01-01") -> Listing:
    dates = date.fromisoformat(first), date.fromisoformat(last)
    return Listing(feed, "us_equity", "AAPL", "XNYS", timeframe, *dates)


RANGE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def test_of_two_feeds_that_make_it_one_is_to_be_chosen() -> None:
    catalog = Catalog([listing("minutes", "1Min"), listing("quarters", "15Min"), listing("days", "1Day")])
    with pytest.raises(AmbiguousFeedError, match=r"by feed=: minutes \(1Min bars.*quarters"):
        catalog.sources("AAPL", "1Hour", None, *RANGE)
    assert [source.feed for source in catalog.sources("AAPL", "1Hour", "quarters", *RANGE)] == ["quarters"]
    assert [source.feed for source in catalog.sources("AAPL", "1Day", None, *RANGE)] == ["days"]
    assert [source.feed for source in catalog.sources("AAPL", "15Min", None, *RANGE)] == ["quarters"]


def test_moments_are_utc_to_the_microsecond() -> None:
    new_york = timezone(timedelta(hours=-4))
    assert utc(datetime(2026, 3, 1, 20, tzinfo=new_york), "start") == datetime(2026, 3, 2, tzinfo=UTC)
    assert utc("2026-03-01T20:00:00-04:00", "start") == datetime(2026, 3, 2, tzinfo=UTC)
    stamp = utc(pd.Timestamp("2026-03-01 12:00:00.123456789", tz="UTC"), "start")
    assert (type(stamp), stamp.microsecond) == (datetime, 123456)
    assert utc(date(2026, 3, 1), "start") == datetime(2026, 3, 1, tzinfo=UTC)
    assert known_at("2026-03-01T12:00:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_actions_are_those_known_then(market: MarketData) -> None:
    days = ("AAPL", "2020-08-01", "2020-09-01")
    columns = ["action_type", "ex_date", "rate", "status", "versions"]
    before, corrected, late, now = (
        market.actions(*days, as_of=moment, feed="us_equity_daily").select(columns).to_pylist()
        for moment in (FIRST, CORRECTED, LATE, None)
    )
    assert [one["action_type"] for one in before] == ["cash_dividend"]
    assert [one["action_type"] for one in late] == ["cash_dividend", "forward_split"]
    assert late == now
    assert market.actions("AAPL", as_of=FIRST - timedelta(seconds=1)).num_rows == 0
    assert market.actions("BTC/USD").num_rows == 0
    assert corrected[0] == late[0]
    newest = market.actions("AAPL", "2021-01-01", feed="us_equity_daily", as_of=FIRST).to_pylist()[-1]
    amended = market.actions("AAPL", "2021-01-01", feed="us_equity_daily", as_of=LATE).to_pylist()[-1]
    assert (newest["versions"], amended["versions"]) == (1, 2)
    assert newest["rate"] == pytest.approx(3 * amended["rate"])


def test_sessions_are_the_exchange_s(market: MarketData) -> None:
    found = market.sessions("2025-11-01", "2026-01-01").to_pandas()
    expected = nyse().schedule.loc["2025-11-01":"2025-12-31"]
    assert found["session_date"].tolist() == [day.date() for day in expected.index]
    assert found["opens_at"].tolist() == expected["open"].tolist()
    assert found["closes_at"].tolist() == expected["close"].tolist()
    assert found.loc[found["is_early_close"], "session_date"].tolist() == [date(2025, 11, 28), date(2025, 12, 24)]
    assert market.sessions("2025-11-01", "2025-12-01", "24/7").num_rows == 30


def test_gaps_are_those_that_reach_into_the_range(market: MarketData) -> None:
    nights = market.gaps("SPY", "2025-06-03T12:00:00Z", "2025-06-04", ["market_closed"]).to_pylist()
    assert all(gap["gap_end"] > datetime(2025, 6, 3, 12, tzinfo=UTC) for gap in nights)
    everything = market.gaps(None, "1998-01-01", "2027-01-01", ["market_closed", "no_trade", "not_ingested"])
    assert market.gaps("BTC/USD", *DAYS).num_rows == 0
    assert everything.num_rows > len(nights) > 0


def test_the_universe_of_a_day_has_what_ended_since(market: MarketData) -> None:
    assert market.universe("2020-06-01").to_pylist() == [
        {"feed": "us_equity_daily", "symbol": "AAPL", "is_recorded": False, "source": None}
    ]
    assert market.universe("2026-03-02", "crypto")["symbol"].to_pylist() == ["BTC/USD"]
    assert market.universe("2026-03-02", "us_equity").num_rows == 0


def test_a_symbol_s_history_has_the_times_of_its_ticker(market: MarketData) -> None:
    (apple,) = market.symbol_history("AAPL", feed="us_equity_daily").to_pylist()
    assert (apple["symbol"], apple["security_id"], apple["valid_from"], apple["valid_to"]) == (
        "AAPL",
        "AAPL",
        None,
        None,
    )
    assert (apple["first_bar_date"], apple["last_bar_date"]) == (date(1998, 1, 2), date(2021, 3, 31))
    assert market.symbol_history().num_rows == 4


def test_versions_are_what_as_of_chooses_from(market: MarketData) -> None:
    minute = "2026-03-03T08:15:00Z", "2026-03-03T08:16:00Z"
    wrong, right = market.versions("BTC/USD", *minute).to_pylist()
    assert (wrong["version_number"], wrong["observed_at"], wrong["superseded_at"]) == (1, FIRST, CORRECTED)
    assert (right["version_number"], right["observed_at"], right["superseded_at"]) == (2, CORRECTED, None)
    for version in (wrong, right):
        (known,) = market.bars("BTC/USD", *minute, "1Min", as_of=version["observed_at"]).to_pylist()
        assert known == {name: version[name] for name in known}
    versions = market.versions("BTC/USD", "2026-03-01", "2026-03-04")
    assert versions.num_rows == 3 * 1440 + 1
