"""What becomes of each corporate action, and of the prices and returns around it."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from crypto_platform.connectors.snowflake import connection
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh
from crypto_platform_tests.dbt_project.warehouse import Warehouse, case, made_of

OBSERVED = pd.Timestamp("2026-06-01")
# What actions change of prices, returns and what is made of these.
CHANGED = ("fct_returns_1d", "fct_bars_1d_adjusted", "fct_bars_adjusted", "fct_price_jumps", "fct_correlations")
AS_OF = ("fct_bar_versions", "fct_corporate_action_versions")
BUILD = ("build", *made_of(CHANGED + AS_OF), "--indirect-selection", "cautious", "--exclude-resource-type", "unit_test")
SPLIT = {"action_type": "forward_split", "symbol": "AAPL", "ex_date": "2020-08-31", "old_rate": 1, "new_rate": 4}
DAY = date(2020, 8, 31)


def fetched(warehouse: Warehouse, symbol: str, day: date, feed: str = "us_equity") -> None:
    """The actions of the day were asked for, and the ledger has all of the answer."""
    with connection.connect(warehouse.settings) as session:
        record(
            session,
            feed,
            "corporate_actions",
            [RequestedPartition(symbol, day, datetime(2026, 6, 1, tzinfo=UTC), 0)],
            "run",
        )


def day_of_returns(warehouse: Warehouse, day: date = DAY) -> dict[str, Any]:
    (row,) = warehouse.query(f"select * from MARTS.FCT_RETURNS_1D where bar_date = '{day}'").to_dict("records")
    return row


def warned(results: Any) -> set[str]:
    return {result.node.name for result in results if result.status == "warn"}


def statuses(warehouse: Warehouse) -> dict[str, str]:
    return warehouse.table("MARTS.FCT_CORPORATE_ACTIONS").set_index("action_id")["status"].to_dict()


def test_a_split_is_no_return(new_warehouse: Callable[[str], Warehouse]) -> None:
    """As it is found out: unknown, fetched and wrong, amended; increments equal a full refresh each time."""
    warehouse = new_warehouse("SPLIT_CASE")
    warehouse.load("us_equity", case("split"), OBSERVED)
    assert warned(warehouse.dbt(*BUILD)) == {"no_stock_return_looks_like_a_split"}
    day = day_of_returns(warehouse)
    assert pd.isna(day["simple_return"])
    assert pd.isna(day["total_return"])
    assert (day["jump"], day["drawdown"], day["comparable_since"]) == ("unknown", 0, DAY)
    assert_equals_full_refresh(warehouse, *CHANGED)

    # Fetched, and there is none: then it is a fall of the price.
    fetched(warehouse, "AAPL", DAY)
    assert warned(warehouse.dbt(*BUILD)) == set()
    day = day_of_returns(warehouse)
    assert day["simple_return"] == pytest.approx(129 / 499.2 - 1)
    assert (day["jump"], day["comparable_since"]) == ("real", date(2020, 8, 28))
    assert_equals_full_refresh(warehouse, *CHANGED)

    # Served as a reverse split (alpaca-py#604).
    wrong = SPLIT | {"action_id": "1", "action_type": "reverse_split", "old_rate": 4, "new_rate": 1}
    warehouse.act("us_equity", OBSERVED, wrong)
    tests = {"no_stock_return_looks_like_a_split", "fct_corporate_actions_not_in_doubt"}
    assert warned(warehouse.dbt(*BUILD)) == tests
    assert statuses(warehouse) == {"1": "doubtful"}
    day = day_of_returns(warehouse)
    assert pd.isna(day["simple_return"])
    assert day["close_split"] == 129
    assert_equals_full_refresh(warehouse, *CHANGED)

    warehouse.act("us_equity", OBSERVED + pd.Timedelta(days=1), SPLIT | {"action_id": "1"})
    assert warned(warehouse.dbt(*BUILD)) == set()
    (action,) = warehouse.table("MARTS.FCT_CORPORATE_ACTIONS").to_dict("records")
    assert (action["status"], action["versions"]) == ("applied", 2)
    assert (action["first_known_at"], action["amended_at"]) == (OBSERVED, OBSERVED + pd.Timedelta(days=1))
    day = day_of_returns(warehouse)
    assert round(100 * day["simple_return"], 3) == 3.365
    assert day["total_return"] == pytest.approx(129 / (499.2 / 4) - 1, rel=1e-12)
    assert pd.isna(day["jump"])
    bars = warehouse.query("select * from MARTS.FCT_BARS_1D_ADJUSTED order by bar_date").set_index("bar_date")
    assert bars["split_factor"].tolist() == pytest.approx([0.25, 1])
    assert bars["close_split"].tolist() == pytest.approx([124.8, 129])
    assert bars["volume_split"].tolist() == pytest.approx([220_000 * 4, 780_000])
    intraday = warehouse.query("select close_split from MARTS.FCT_BARS_ADJUSTED order by bar_start")["close_split"]
    assert intraday.tolist() == pytest.approx([499.8 / 4, 124.8, 128.2, 129])
    assert_equals_full_refresh(warehouse, *CHANGED)

    for known_at, closes in ((-1, []), (0, [499.2, 129]), (23, [499.2, 129]), (24, [124.8, 129])):
        known = f"'{OBSERVED + pd.Timedelta(hours=known_at)}'::timestamp_ntz"
        query = f"""select bar_date, close_split from ({{{{ bars_1d_adjusted_as_of("{known}") }}}}) as known"""
        (compiled,) = warehouse.dbt("compile", "--inline", query)
        found = warehouse.query(compiled.node.compiled_code).sort_values("bar_date")["close_split"].tolist()
        assert found == pytest.approx(closes), known_at


SESSIONS = ("2025-01-06", "2025-01-07", "2025-01-08", "2025-01-10")
EX_DATE = "2025-01-08"


def action(action_type: str, **terms: Any) -> dict[str, Any]:
    return {"action_type": action_type, "ex_date": EX_DATE, **terms}


FOUR_FOR_ONE = action("forward_split", old_rate=1, new_rate=4)
# By symbol: closes, what happened on the third day, what becomes of it, and the first day's factors.
KINDS: dict[str, tuple[tuple[float, ...], list[dict[str, Any]], list[str], tuple[float, float]]] = {
    "FWD": ((100, 100, 25, 26), [FOUR_FOR_ONE], ["applied"], (1 / 4, 1)),
    "REV": ((1, 1, 10, 11), [action("reverse_split", old_rate=10, new_rate=1)], ["applied"], (10, 1)),
    "UNIT": ((30, 30, 10, 11), [action("unit_split", old_rate=1, new_rate=3)], ["applied"], (1 / 3, 1)),
    "STOCK": ((105, 105, 100, 101), [action("stock_dividend", rate=0.05)], ["applied"], (1 / 1.05, 1)),
    "CASH": ((100, 98, 97, 98), [action("cash_dividend", rate=1)], ["applied"], (1, 1 - 1 / 98)),
    "SPECIAL": ((100, 100, 60, 61), [action("cash_dividend", rate=40, is_special=True)], ["applied"], (1, 0.6)),
    "FOREIGN": ((100, 100, 99, 98), [action("cash_dividend", rate=2, is_foreign=True)], ["applied"], (1, 0.98)),
    "BOTH": ((100, 100, 24, 25), [FOUR_FOR_ONE, action("cash_dividend", rate=4)], ["applied"] * 2, (1 / 4, 0.96)),
    "TWICE": (
        (100, 100, 89, 90),
        [action("cash_dividend", rate=1), action("cash_dividend", rate=10, is_special=True)],
        ["applied"] * 2,
        (1, 0.99 * 0.9),
    ),
    "COPY": ((100, 100, 25, 26), [FOUR_FOR_ONE, FOUR_FOR_ONE], ["applied", "duplicate"], (1 / 4, 1)),
    "OTHER": ((100, 100, 25, 26), [FOUR_FOR_ONE, FOUR_FOR_ONE | {"new_rate": 3}], ["contradictory"] * 2, (1, 1)),
    "WRONG": ((1, 1, 10, 11), [action("forward_split", old_rate=1, new_rate=10)], ["doubtful"], (1, 1)),
    "SPIN": ((100, 100, 70, 71), [action("spin_off", old_rate=1, new_rate=1)], ["no_factor"], (1, 1)),
    "CLOSED": ((100, 100, 100, 25), [FOUR_FOR_ONE | {"ex_date": "2025-01-09"}], ["not_a_session"], (1, 1)),
    "SOON": ((100, 100, 100, 101), [FOUR_FOR_ONE | {"ex_date": "2025-01-13"}], ["pending"], (1, 1)),
    "MORE": ((100, 100, 100, 101), [action("cash_dividend", rate=100)], ["no_factor"], (1, 1)),
    "ZERO": ((100, 100, 100, 101), [action("forward_split", old_rate=0, new_rate=4)], ["no_factor"], (1, 1)),
    "NAME": ((100, 100, 100, 101), [action("name_change", new_symbol="NEW")], ["no_factor"], (1, 1)),
    "NEVER": ((), [FOUR_FOR_ONE], ["pending"], (1, 1)),
}
# Whose third day's price changed by what nobody knows.
UNKNOWN = {"OTHER", "WRONG", "SPIN", "ZERO"}
# Whose ticker is another security's from then on.
RENAMED = {"NAME"}


def flat(symbol: str, closes: tuple[float, ...], sessions: tuple[str, ...] = SESSIONS) -> pd.DataFrame:
    """A bar each session, its prices all the same."""
    starts = pd.to_datetime([f"{day} 20:45" for day in sessions[: len(closes)]]).as_unit("us")
    prices = {name: [float(close) for close in closes] for name in ("open", "high", "low", "close")}
    return pd.DataFrame({"symbol": symbol, "timeframe": "15Min", "bar_start": starts, **prices, "volume": 12.0})


@pytest.fixture(scope="module")
def kinds(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    warehouse = new_warehouse("KINDS")
    warehouse.load("us_equity", pd.concat(flat(symbol, kind[0]) for symbol, kind in KINDS.items()), OBSERVED)
    actions = [
        {"action_id": f"{symbol} {number}", "symbol": symbol, **each}
        for symbol, (_, happened, _, _) in KINDS.items()
        for number, each in enumerate(happened)
    ]
    warehouse.act("us_equity", OBSERVED, *actions)
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    return warehouse


def test_each_kind_of_action_has_its_result(kinds: Warehouse) -> None:
    expected = {f"{symbol} {n}": status for symbol, kind in KINDS.items() for n, status in enumerate(kind[2])}
    assert statuses(kinds) == expected
    bars = kinds.query("select * from MARTS.FCT_BARS_1D_ADJUSTED order by bar_date").groupby("symbol")
    returns = kinds.query(f"select * from MARTS.FCT_RETURNS_1D where bar_date = '{EX_DATE}'").set_index("symbol")
    for symbol, (closes, _, _, (split, dividend)) in KINDS.items():
        if not closes:
            continue
        days = bars.get_group(symbol)
        last = [1] if symbol == "CLOSED" else [1, 1]
        assert days["split_factor"].tolist() == pytest.approx([split] * (4 - len(last)) + [1] * len(last)), symbol
        assert days["dividend_factor"].tolist() == pytest.approx([dividend] * (4 - len(last)) + [1] * len(last)), symbol
        first = days.iloc[0]
        for name in ("open", "high", "low", "close"):
            assert first[f"{name}_split"] == pytest.approx(closes[0] * split), symbol
        assert first["close_total_return"] == pytest.approx(closes[0] * split * dividend), symbol
        assert first["volume_split"] == pytest.approx(12 / split), symbol
        simple, total = (
            (None, None)
            if symbol in UNKNOWN | RENAMED
            else (closes[2] / (closes[1] * split) - 1, closes[2] / (closes[1] * split * dividend) - 1)
        )
        found = returns.loc[symbol, ["simple_return", "total_return"]].astype(float).tolist()
        assert found == pytest.approx([float("nan") if r is None else r for r in (simple, total)], nan_ok=True), symbol
    # A fall by an ex-date that is no session is on the next one.
    monday = kinds.query("select symbol, bar_date::varchar as d, verdict from MARTS.FCT_PRICE_JUMPS order by 1, 2")
    assert set(monday.itertuples(index=False, name=None)) == {
        *((symbol, EX_DATE, "unknown") for symbol in UNKNOWN),
        ("CLOSED", "2025-01-10", "unknown"),
    }


@pytest.mark.last
def test_a_correction_touches_its_symbol_alone(kinds: Warehouse) -> None:
    """Counted: what a build writes anew loses its mark."""
    marks = {
        "INTERMEDIATE.INT_BAR_SCORES": "history_bars = 7777",
        "MARTS.FCT_RETURNS_1D": "drawdown_days = 7777",
        "MARTS.FCT_INDICATORS_1D": "bar_number = 7777",
        "MARTS.FCT_INDICATORS_1H": "bar_number = 7777",
    }
    touched = [table.split(".")[1].lower() for table in marks]
    for table, mark in marks.items():
        kinds.query(f"update {table} set {mark}")
    kinds.query("update MARTS.FCT_DAY_FACTORS set loaded_at = dateadd('second', 7, loaded_at)")
    marks["MARTS.FCT_DAY_FACTORS"] = "second(loaded_at) = 7"
    later = OBSERVED + pd.Timedelta(days=1)
    kinds.act("us_equity", later, action("cash_dividend", action_id="CASH 0", symbol="CASH", rate=2))
    kinds.build(*touched)
    for table, mark in marks.items():
        written = kinds.query(f"select symbol, count(*) as n from {table} where not ({mark}) group by symbol")
        assert written.to_dict("records") == [{"symbol": "CASH", "n": len(SESSIONS)}], table
    day = kinds.query("select * from MARTS.FCT_BARS_1D_ADJUSTED where symbol = 'CASH' order by bar_date").iloc[0]
    assert day["close_total_return"] == pytest.approx(100 * (1 - 2 / 98))
    # Nothing is new now.
    kinds.query("update MARTS.FCT_RETURNS_1D set drawdown_days = 8888")
    kinds.build(*touched)
    assert set(kinds.table("MARTS.FCT_RETURNS_1D")["drawdown_days"]) == {8888}
