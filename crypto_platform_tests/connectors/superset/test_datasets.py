"""What datasets make of data that the recordings do not hold, asked of Superset as its pages ask."""

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from crypto_platform.connectors.superset import charts, code
from crypto_platform.connectors.superset.client import connect
from crypto_platform.connectors.superset.home import CODE
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse

# With the set-up of Superset and of the marts.
pytestmark = pytest.mark.timeout(900)
FILES = code.read()
Rows = list[dict[str, Any]]
Asked = Callable[..., Rows]


@pytest.fixture(scope="module")
def ask(superset: Settings) -> Iterator[Asked]:
    """Ask a chart by its file's name, with the values that filters chose by column."""
    with connect(superset) as client:

        def asked(chart: str, time_range: str = "No filter", **chosen: str) -> Rows:
            return charts.rows(client, FILES[f"charts/{chart}.yaml"]["uuid"], chosen, time_range)

        yield asked


@contextmanager
def symbol(warehouse: Warehouse, name: str, calendar: str = "24/7", **tables: str) -> Iterator[None]:
    """A symbol that is there meanwhile: per table a query over the recorded bitcoin's rows, named `bitcoin`."""
    tables = {"dim_symbols": f"select * replace ('{calendar}' as calendar) from bitcoin"} | tables
    for table, query in tables.items():
        warehouse.query(
            f"insert into MARTS.{table} with bitcoin as (select * from MARTS.{table} where symbol = 'BTC/USD') "
            f"select * replace ('{name}' as symbol) from ({query})"
        )
    try:
        yield
    finally:
        for table in tables:
            warehouse.query(f"delete from MARTS.{table} where symbol = '{name}'")


def part(rows: Rows, name: str) -> Rows:
    return [row for row in rows if row["part"] == name]


def test_across_a_hole_the_newest_candles_the_axis_and_the_lines_are_drawn(recorded: Warehouse, ask: Asked) -> None:
    # Half a year lies between the newest 8 hours and the 192 before them.
    hole = (
        "select * exclude (n) replace (dateadd('hour', iff(n <= 8, 4400, 0), bar_start) as bar_start) from "
        "(select *, row_number() over (order by bar_start desc) as n from bitcoin) where n <= 200"
    )
    with symbol(recorded, "HOLE/USD", fct_bars_1h=hole, fct_indicators_1h=hole):
        drawn = ask("candles", symbol="HOLE/USD", timeframe="1Hour", candles="200")
        hours = recorded.query(
            "select bar_start, close from MARTS.fct_bars_1h where symbol = 'HOLE/USD' order by bar_start desc limit 8"
        )
    bars = part(drawn, "bar")
    assert [bar["label"].split(" UTC")[0] for bar in bars] == [f"{at:%Y-%m-%d %H:%M}" for at in hours.bar_start[::-1]]
    assert bars[-1]["x"] == 199
    assert len(part(drawn, "gap")) == 192
    assert "8 bars" in drawn[0]["label"]
    assert "192 times without a bar" in drawn[0]["label"]
    assert len(part(drawn, "price")) >= 3
    assert len(part(drawn, "line")) == 7


def test_minutes_are_read_of_the_week_before_the_newest_day(recorded: Warehouse, ask: Asked) -> None:
    """Its calendar has no sessions, so that nothing but its bars is drawn."""
    days = "(select max(bar_date) from bitcoin)"
    some = f"bar_start = cast(bar_date as timestamp_ntz) and datediff('day', bar_date, {days}) in (0, 6, 8)"
    midnights = f"select * from bitcoin where {some}"
    with symbol(recorded, "WEEK/USD", "none", fct_bars=midnights, fct_bars_1h=midnights):
        (newest,) = recorded.query("select max(bar_date) as day from MARTS.fct_bars where symbol = 'WEEK/USD'").day

        def days_before(time_range: str) -> list[int]:
            drawn = part(ask("candles", time_range, symbol="WEEK/USD", timeframe="1Min", candles="500"), "bar")
            return [(newest - type(newest).fromisoformat(bar["label"][:10])).days for bar in drawn]

        assert days_before("No filter") == [6, 0]
        assert days_before("2020-01-01 : 2040-01-01") == [6, 0]
        assert days_before(f"2020-01-01 : {newest}") == [8, 6]


@pytest.mark.parametrize(("scale", "offset"), [(1e-10, 0.0), (1e-8, 0.9998), (3e-5, 0.0), (1.0, 0.0), (1e6, 0.0)])
def test_an_axis_tells_its_prices_apart_and_lines_are_not_rounded(
    recorded: Warehouse, ask: Asked, scale: float, offset: float
) -> None:
    def moved(offset: float, *columns: str) -> str:
        return ", ".join(f"{scale} * {name} + {offset} as {name}" for name in columns)

    prices, bands = moved(offset, "open", "high", "low", "close"), moved(offset, "bollinger_lower", "bollinger_upper")
    tables = {
        "fct_bars_1h": f"select * replace ({prices}) from bitcoin",
        "fct_indicators_1h": f"select * replace ({bands}, {moved(0, 'macd', 'macd_signal')}) from bitcoin",
    }
    with symbol(recorded, "SCALED/USD", **tables):
        drawn = ask("candles", symbol="SCALED/USD", timeframe="1Hour", candles="200")
        macd = recorded.query(
            "select macd from MARTS.fct_indicators_1h where symbol = 'SCALED/USD' "
            "and macd is not null order by bar_start desc limit 200"
        ).macd[::-1]
    ticks = part(drawn, "price")
    assert len({tick["label"] for tick in ticks}) == len(ticks) >= 3
    told = [float(tick["label"].replace(",", "")) for tick in ticks]
    assert told == pytest.approx([tick["low"] for tick in ticks], rel=1e-9)
    (line,) = (row["points"] for row in part(drawn, "line") if row["name"] == "macd")
    assert [float(point.split(",")[1]) for point in line.split()] == pytest.approx(list(macd), rel=1e-6)


@pytest.fixture
def split_stock(recorded: Warehouse) -> Iterator[str]:
    """A stock that split 4 for 1 before its newest session, and whose next split Alpaca has the wrong way round."""

    def aapl(table: str) -> str:
        return f"(select * replace ('SPLT' as symbol) from MARTS.{table} where feed = 'us_equity' and symbol = 'AAPL')"

    (newest,) = recorded.query(f"select max(bar_date) as day from {aapl('fct_bars_1d')}").day
    day, time = f"cast('{newest}' as date)", f"cast('{newest}' as timestamp_ntz)"
    factors = f"iff(bar_date < {day}, 0.25, 1) as split_factor, 0.9 as dividend_factor"

    def action(action_id: str, new_rate: float, status: str, reason: str) -> str:
        return (
            f"select 'us_equity' as feed, 'SPLT' as symbol, '{action_id}' as action_id, "
            f"'forward_split' as action_type, {new_rate} as new_rate, 1 as old_rate, '{status}' as status, "
            f"{reason} as reason, {day} as process_date, {day} as ex_date, 1 as versions, "
            f"{time} as first_known_at, {time} as known_at, {time} as loaded_at"
        )

    split, wrong = action("a", 4, "applied", "null"), action("b", 0.5, "doubtful", "'the wrong way round'")
    tables = {
        "dim_symbols": f"select * from {aapl('dim_symbols')}",
        "fct_bars_1d": f"select * from {aapl('fct_bars_1d')}",
        "fct_day_factors": f"select * replace ({factors}) from {aapl('fct_day_factors')}",
        "fct_corporate_actions": f"{split} union all {wrong}",
    }
    for table, query in tables.items():
        recorded.query(f"insert into MARTS.{table} by name {query}")
    try:
        yield str(newest)
    finally:
        for table in tables:
            recorded.query(f"delete from MARTS.{table} where symbol = 'SPLT'")


@pytest.mark.parametrize(
    ("basis", "suffix"), [("Raw", ""), ("Split-adjusted", "_split"), ("Total-return", "_total_return")]
)
def test_a_stock_is_drawn_in_the_chosen_prices_with_its_actions(
    recorded: Warehouse, ask: Asked, split_stock: str, basis: str, suffix: str
) -> None:
    drawn = ask("adjusted_candles", symbol="SPLT", price_basis=basis, candles="50")
    volume = "volume" if basis == "Raw" else "volume_split"
    expected = recorded.query(
        f"select bar_date, low{suffix} as low, high{suffix} as high, {volume} as volume, "
        f"least(open{suffix}, close{suffix}) as body from MARTS.fct_bars_1d_adjusted "
        "where symbol = 'SPLT' order by bar_date desc limit 50"
    )[::-1]
    bars = part(drawn, "bar")
    assert [bar["label"][:10] for bar in bars] == [f"{day:%Y-%m-%d}" for day in expected.bar_date]
    assert [bar["x"] for bar in bars] == list(range(50))
    expected["volume_percent"] = 100 * expected.volume / expected.volume.max()
    for name in ("low", "high", "volume_percent"):
        assert [bar[name] for bar in bars] == pytest.approx(list(expected[name]), rel=1e-12)
    assert [float(bar["points"]) for bar in bars] == pytest.approx(list(expected.body), rel=1e-9)
    marks = {mark["price_basis"]: (mark["x"], mark["name"], mark["label"]) for mark in part(drawn, "action")}
    assert marks == {
        "applied": (49, "S", f"{split_stock}: forward split 4 for 1"),
        "left_out": (49, "S", f"{split_stock}: forward split 0.50000000 for 1\ndoubtful: the wrong way round"),
    }


def test_the_actions_of_a_stock_say_what_is_done_of_them(ask: Asked, split_stock: str) -> None:
    told = [row for row in ask("corporate_actions", symbol="SPLT") if row["ex_date"]]
    assert {(row["terms"], row["status"], row["reason"]) for row in told} == {
        ("4 for 1", "applied", None),
        ("0.50000000 for 1", "doubtful", "the wrong way round"),
    }
    (nothing,) = ask("corporate_actions", "2001-01-01 : 2001-02-01", symbol="SPLT")
    assert nothing["message"] == "No corporate action is known of the chosen stock and time."


def test_closes_are_told_in_each_kind_of_prices(recorded: Warehouse, ask: Asked, split_stock: str) -> None:
    told = {
        row["price_basis"]: row["close"]
        for row in ask("adjusted_closes", f"{split_stock} : {split_stock[:4]}-12-31", symbol="SPLT")
    }
    (close,) = recorded.query(
        "select close from MARTS.fct_bars_1d_adjusted where symbol = 'SPLT' order by bar_date desc limit 1"
    ).close
    assert told == pytest.approx({"Raw": close, "Split-adjusted": close, "Total-return": 0.9 * close})


@pytest.fixture(scope="module")
def number() -> Callable[..., str]:
    """`number` of `dashboards/superset_config.py`, which only Superset's own Python can import otherwise."""
    stub = ModuleType("superset")
    stub.config = ModuleType("config")  # type: ignore[attr-defined]
    stub.config.TALISMAN_CONFIG = {"content_security_policy": {}}
    stub.config.THEME_DEFAULT = {"token": {}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("snowflake.sqlalchemy", "superset"):
            patch.setitem(sys.modules, name, stub)
        patch.setenv("SUPERSET_SECRET_KEY", "none")
        patch.setenv("SUPERSET_WAREHOUSE", "{}")
        found: Callable[..., str] = runpy.run_path(str(CODE / "superset_config.py"))["number"]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("0.0000123", "0.00001230"),
        ("0.9998", "0.99980000"),
        ("2.2314", "2.2314"),
        ("2.2349", "2.2349"),
        ("99.5", "99.5000"),
        ("123.456", "123.46"),
        ("-1234.5", "-1,234.50"),
        ("999999.5", "999,999.50"),
        ("1234567890", "1,234,567,890.00"),
        ("123456789012", "123,456,789,012.00"),
        ("1234567890123", "1,234,567,890,123"),
    ],
)
def test_a_number_is_written_for_people(recorded: Warehouse, number: Callable[..., str], value: str, text: str) -> None:
    (row,) = recorded.query(f"select {number(f'cast({value} as float)')} as text").text
    assert row == text


@contextmanager
def inserted(warehouse: Warehouse, table: str, mark: str, *rows: str) -> Iterator[None]:
    """Rows that are there meanwhile, `select`s by column name; `mark` is what tells them from others."""
    for row in rows:
        columns = ", ".join(warehouse.query(f"select * from ({row}) limit 0"))
        warehouse.query(f"insert into {table} ({columns}) {row}")
    try:
        yield
    finally:
        warehouse.query(f"delete from {table} where {mark}")


def tile(rows: Rows, metric: str) -> tuple[str, str]:
    (found,) = (row for row in rows if row["metric"] == metric)
    return found["value"], found["status"]


def test_a_reject_is_told_whatever_its_day_and_filtered_by_asset_class(recorded: Warehouse, ask: Asked) -> None:
    # A holiday, after the last bar: no day of fct_completeness.
    rejected = (
        "select 'us_equity' as feed, 'none' as kafka_topic, 0 as kafka_partition, 1 as kafka_offset, "
        "'no_symbol' as reason, 'test' as load_id, cast('2026-12-25 12:00:00' as timestamp_ntz) as rejected_at"
    )
    with inserted(recorded, "RAW.REJECTED_BARS", "load_id = 'test'", rejected):
        assert tile(ask("health_summary"), "messages were rejected") == ("1", "critical")
        assert tile(ask("health_summary", asset_class="us_equity"), "messages were rejected") == ("1", "critical")
        assert tile(ask("health_summary", asset_class="crypto"), "messages were rejected") == ("0", "ok")
        on_the_day = "2026-12-25 : 2026-12-26"
        assert tile(ask("health_summary", on_the_day), "messages were rejected") == ("1", "critical")
        assert tile(ask("health_summary", "2026-12-26 : 2026-12-27"), "messages were rejected") == ("0", "ok")
        assert [r["reason"] for r in ask("rejections", asset_class="us_equity")] == [None, "no_symbol"]
        assert [r["reason"] for r in ask("rejections", asset_class="crypto")] == [None]


def test_loads_are_filtered_by_asset_class(recorded: Warehouse, ask: Asked) -> None:
    load = (
        "select 'test' as load_id, '{0}' as feed, '' as topic, '' as topic_id, '' as run_id, '' as start_offsets, "
        "'' as end_offsets, 1 as message_count, 1 as loaded, 0 as unchanged, 0 as rejected, 0 as offset_gaps, "
        "sysdate() as started_at, sysdate() as finished_at"
    )
    with inserted(recorded, "RAW.LOADS", "load_id = 'test'", load.format("crypto"), load.format("us_equity")):
        assert len(ask("loads")) == 2
        assert [row["feed"] for row in ask("loads", asset_class="crypto")] == ["crypto"]


def test_bars_of_a_running_day_are_not_said_to_lack(recorded: Warehouse, ask: Asked) -> None:
    day = (
        "select 'crypto' as feed, 'crypto' as asset_class, 'DAYS/USD' as symbol, '1Min' as timeframe, "
        "cast('2026-06-0{0}' as date) as bar_date, {1} as is_final, 720 as bars, 720 as stream_bars, "
        "{2} as rest_bars, 720 - {2} as only_stream_bars, 0 as only_rest_bars, 0 as differing_bars, "
        "{2} as reconciled_bars, 1 as median_lateness_seconds, 2 as p99_lateness_seconds"
    )
    running, settled, lacking = day.format(3, False, 0), day.format(1, True, 720), day.format(2, True, 717)
    table, mark = "MARTS.fct_stream_reconciliation", "symbol = 'DAYS/USD'"

    def said() -> tuple[str, int, str]:
        (row,) = (row for row in ask("reconciliation") if row["symbol"] == "DAYS/USD")
        return row["days_settled"], row["only_stream_bars"], row["reconciled"]

    with inserted(recorded, table, mark, running):
        assert said() == ("0 of 1", 0, "no final day")
    with inserted(recorded, table, mark, running, settled):
        assert said() == ("1 of 2", 0, "100.00 %")
    with inserted(recorded, table, mark, running, settled, lacking):
        assert said() == ("2 of 3", 3, "99.79 %")


def test_days_that_nobody_asked_for_are_counted_and_no_gap(recorded: Warehouse, ask: Asked) -> None:
    gap = (
        "select 'crypto' as feed, 'crypto' as asset_class, 'GAPS/USD' as symbol, "
        "cast('2026-05-0{0}' as timestamp_ntz) as gap_start, cast('2026-05-0{0} 00:10' as timestamp_ntz) as gap_end, "
        "10 as missing_bars, '{1}' as gap_class"
    )
    table, mark = "MARTS.fct_gaps", "symbol = 'GAPS/USD'"
    with inserted(recorded, table, mark, gap.format(1, "never_requested")):
        (said,) = ask("gaps", symbol="GAPS/USD")
        assert said["message"].startswith("No bar is missing within a session of the days that were requested. Days")
        assert "room for 10 bars were never requested" in said["message"]
    with inserted(recorded, table, mark, gap.format(1, "never_requested"), gap.format(2, "not_ingested")):
        said, listed = ask("gaps", symbol="GAPS/USD")
        assert (listed["reason"], listed["missing_bars"]) == ("not ingested", 10)
        assert said["message"].startswith("1 runs of 10 missing bars. Days with room for 10 bars were never requested")


def test_corrected_days_are_listed_and_none_is_said(recorded: Warehouse, ask: Asked) -> None:
    (said,) = ask("corrections")
    assert said["message"] == "No bar of the chosen days was corrected, and none came late."
    corrected = (
        "select * replace ('DAYS/USD' as symbol, {0} as corrected_bars, {1} as late_bars) from MARTS.fct_completeness "
        "where symbol = 'BTC/USD' and bar_date = '2026-05-0{2}'"
    )
    days = [corrected.format(2, 0, 1), corrected.format(0, 3, 2), corrected.format(0, 0, 3)]
    with inserted(recorded, "MARTS.fct_completeness", "symbol = 'DAYS/USD'", *days):
        head, *rows = ask("corrections", asset_class="crypto")
        assert head["message"] is None
        found = [(row["bar_date"], row["corrected_bars"], row["late_bars"]) for row in rows]
        assert found == [("2026-05-02", 0, 3), ("2026-05-01", 2, 0)]
        assert len(ask("corrections", "2026-05-01 : 2026-05-02")) == 2


def test_halts_are_listed_and_none_is_said(recorded: Warehouse, ask: Asked) -> None:
    (said,) = ask("trading_halts")
    assert said["message"] == "No trading halt of the chosen days is known: the stream alone tells them, of stocks."
    halt = (
        "select 'us_equity' as feed, 'HALT' as symbol, cast('2026-05-0{0} 15:30' as timestamp_ntz) as halted_at, "
        "cast({1} as timestamp_ntz) as resumed_at, 'H' as status_code, 'Trading Halt' as status_message, "
        "'T1' as reason_code, {2} as reason_message"
    )
    rows = [halt.format(4, "'2026-05-04 16:00'", "'News pending'"), halt.format(5, "null", "null")]
    with inserted(recorded, "MARTS.fct_trading_halts", "symbol = 'HALT'", *rows):
        found = [(row["halted_at"], row["resumed_at"], row["reason"]) for row in ask("trading_halts")[1:]]
        assert found == [
            ("2026-05-05 15:30", "halted still", "Trading Halt"),
            ("2026-05-04 15:30", "2026-05-04 16:00", "News pending"),
        ]
        assert len(ask("trading_halts", "2026-05-04 : 2026-05-05", symbol="HALT")) == 2
        assert len(ask("trading_halts", asset_class="crypto")) == 1


def test_the_deepest_fall_is_within_the_chosen_time(recorded: Warehouse, ask: Asked) -> None:
    closes = recorded.query(
        "select bar_date, close from MARTS.fct_returns_1d where symbol = 'BTC/USD' order by bar_date"
    )
    within = closes[closes.close.idxmax() + 1 :]
    assert len(within) > 3
    (row,) = (r for r in ask("risk_table", f"{within.bar_date.iloc[0]} : 2040-01-01") if r["symbol"] == "BTC/USD")
    assert row["Max drawdown"] == pytest.approx((within.close / within.close.cummax() - 1).min())


def test_growth_and_falls_go_over_splits_and_are_of_one_feed(recorded: Warehouse, ask: Asked) -> None:
    """A 4-for-1 split in the middle, a dividend of a tenth at the end, and fewer days of another feed."""
    returns = (
        "insert into MARTS.fct_returns_1d with bitcoin as (select *, row_number() over (order by bar_date) as day, "
        "min(bar_date) over () as min_date from MARTS.fct_returns_1d where symbol = 'BTC/USD') "
        "select * exclude (day, min_date) replace ('SPLT' as symbol, 'SPLT' as security_id, '{feed}' as feed, "
        "'us_equity' as asset_class, 100 * iff(day < 20, 4, 1) as close, "
        "100 * iff(day < 20, 0.9, 1) as close_total_return, min_date as comparable_since) "
        "from bitcoin where day <= {days}"
    )
    for feed, days in (("us_equity", 40), ("us_equity_daily", 5)):
        recorded.query(returns.format(feed=feed, days=days))
    try:
        (row,) = (r for r in ask("risk_table") if r["symbol"] == "SPLT")
    finally:
        recorded.query("delete from MARTS.fct_returns_1d where symbol = 'SPLT'")
    assert row["Days"] == 40
    assert row["Gain"] == pytest.approx(1 / 0.9 - 1)
    assert row["Max drawdown"] == 0


def test_prices_and_volumes_have_their_units(ask: Asked) -> None:
    units = {row["symbol"]: (row["quote_currency"], row["volume_unit"]) for row in ask("market_overview")}
    assert units["BTC/USD"] == ("USD", "BTC")
    assert units["SPY"] == ("USD", "shares")
    about = ask("candles", symbol="SPY")[0]
    assert (about["currency"], about["volume_unit"]) == ("USD", "shares")
