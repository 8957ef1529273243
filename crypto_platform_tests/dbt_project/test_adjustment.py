"""Adjusted prices beside those of others: Lean's of AAPL, and pandas code of its own on random actions."""

import json
from collections.abc import Callable
from itertools import islice, product
from string import ascii_uppercase

import numpy as np
import pandas as pd
import pytest

from crypto_platform.market.sessions import nyse
from crypto_platform.settings import PROJECT_ROOT
from crypto_platform_tests.dbt_project.test_corporate_actions import CHANGED
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh
from crypto_platform_tests.dbt_project.warehouse import Warehouse

LEAN = PROJECT_ROOT / "crypto_platform_tests" / "fixtures" / "lean"
OBSERVED = pd.Timestamp("2026-06-01")
MADE_OF_PRICES = (*CHANGED, "fct_indicators_1d", "fct_indicators_1h", "int_bar_scores")


def lean_bars() -> pd.DataFrame:
    """AAPL's raw days, labelled as Alpaca labels a stock's day: by 00:00 New York in UTC."""
    frame = pd.read_csv(LEAN / "lean_aapl_1d_raw.csv.gz", parse_dates=["date"])
    starts = frame.pop("date").dt.tz_localize("America/New_York").dt.tz_convert("UTC").dt.tz_localize(None)
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), float)
    return frame.astype(prices).assign(timeframe="1Day", bar_start=starts.astype("datetime64[us]"))


def lean_actions() -> list[dict[str, object]]:
    answer = json.loads((LEAN / "lean_aapl_corporate-actions.json").read_text())["corporate_actions"]
    fields = ("symbol", "ex_date", "process_date", "old_rate", "new_rate", "rate")
    return [
        {"action_type": types.removesuffix("s"), **{name: found[name] for name in fields if name in found}}
        for types, actions in answer.items()
        for found in actions
    ]


def test_apple_since_1998_is_leans(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("LEAN")
    warehouse.load("us_equity", lean_bars(), OBSERVED)
    warehouse.act("us_equity", OBSERVED, *lean_actions())
    warehouse.build("fct_bars_1d_adjusted")
    assert set(warehouse.table("MARTS.FCT_CORPORATE_ACTIONS")["status"]) == {"applied"}
    expected = pd.read_csv(LEAN / "lean_aapl_1d_expected_adjusted.csv.gz", parse_dates=["date"])
    bars = warehouse.query("select * from MARTS.FCT_BARS_1D_ADJUSTED order by bar_date")
    assert bars["bar_date"].tolist() == expected["date"].dt.date.tolist()
    for name in ("close", "close_split", "close_total_return"):
        np.testing.assert_allclose(bars[name].astype(float), expected[name], rtol=1e-5, err_msg=name)


def random_symbol(
    symbol: str, rng: np.random.Generator, days: pd.DatetimeIndex, timeframe: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Raw bars of a session each, and the actions that made them raw, a row each."""
    count = len(days)
    kinds = ["forward_split", "reverse_split", "unit_split", "stock_dividend", "cash_dividend"]
    at = np.sort(rng.choice(np.arange(1, count), 12, replace=True))
    actions = pd.DataFrame({"symbol": symbol, "action_type": rng.choice(kinds, 12), "at": at})
    # Two splits of a day, or two dividends, would be one too many.
    actions["is_cash"] = actions["action_type"] == "cash_dividend"
    actions = actions.drop_duplicates(["is_cash", "at"], ignore_index=True)
    shares = rng.integers(2, 9, len(actions)).astype(float)
    is_reverse = actions["action_type"] == "reverse_split"
    is_split = actions["action_type"].str.endswith("split")
    actions["old_rate"] = np.where(is_split, np.where(is_reverse, shares, 1), np.nan)
    actions["new_rate"] = np.where(is_split, np.where(is_reverse, 1, shares), np.nan)
    actions["rate"] = np.where(is_split, np.nan, np.round(rng.uniform(0.01, 0.3, len(actions)), 3))
    actions["ex_date"] = days[actions["at"]].date
    # Prices on the newest day's scale go their way; raw are they by the shares that were still to come of one.
    close = 500 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    for row in actions.itertuples():
        if row.action_type == "stock_dividend":
            close[: row.at] *= 1 + row.rate
        elif row.action_type != "cash_dividend":
            close[: row.at] *= row.new_rate / row.old_rate
    # Of money some per cent of the price.
    paid = actions.pop("is_cash")
    actions.loc[paid, "rate"] *= close[actions.loc[paid, "at"] - 1] / 10
    is_daily = timeframe == "1Day"
    starts = days.tz_localize("America/New_York").tz_convert(None) if is_daily else days + pd.Timedelta(hours=18)
    frame = pd.DataFrame({"symbol": symbol, "timeframe": timeframe, "bar_start": starts})
    frame = frame.assign(open=close, high=close * 1.01, low=close * 0.99, close=close)
    frame["volume"] = rng.integers(1, 1000, count).astype(float)
    frame["bar_start"] = frame["bar_start"].astype("datetime64[us]")
    return frame, actions


def adjusted(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    """A symbol's closes and volumes by date, adjusted action by action."""
    frame = bars.set_index(bars["bar_start"].dt.date)[["close", "volume"]].astype(float)
    frame["split"], frame["total"] = 1.0, 1.0
    for row in actions.itertuples():
        earlier = frame.index < row.ex_date
        if not earlier.any():
            continue
        if row.action_type == "cash_dividend":
            frame.loc[earlier, "total"] *= 1 - row.rate / frame.loc[earlier, "close"].iloc[-1]
        elif row.action_type == "stock_dividend":
            frame.loc[earlier, "split"] /= 1 + row.rate
        else:
            frame.loc[earlier, "split"] *= row.old_rate / row.new_rate
    frame["close_split"] = frame["close"] * frame["split"]
    frame["close_total_return"] = frame["close_split"] * frame["total"]
    frame["volume_split"] = frame["volume"] / frame["split"]
    return frame


def wire(actions: pd.DataFrame) -> list[dict[str, object]]:
    rows = actions.drop(columns="at").astype(object).where(actions.drop(columns="at").notna(), None)
    return [{**row, "ex_date": str(row["ex_date"])} for row in rows.to_dict("records")]


@pytest.mark.parametrize(
    ("feed", "timeframe", "count", "first", "last", "models"),
    [
        pytest.param("us_equity", "15Min", 4, "2025-01-02", "2025-06-30", MADE_OF_PRICES, id="months"),
        pytest.param(
            *("us_equity_daily", "1Day", 500, "2020-07-01", "2025-06-30", ()),
            id="years, of every model",
            marks=[pytest.mark.scale, pytest.mark.timeout(1800)],
        ),
    ],
)
def test_random_actions_equal_pandas(
    new_warehouse: Callable[[str], Warehouse],
    feed: str,
    timeframe: str,
    count: int,
    first: str,
    last: str,
    models: tuple[str, ...],
) -> None:
    """The first half of the days, the others, then what is late or amended: each build equals a full refresh."""
    warehouse = new_warehouse(f"RANDOM_{count}")
    rng = np.random.default_rng(14)
    days = nyse().sessions_in_range(first, last)
    symbols = ["".join(letters) for letters in islice(product(ascii_uppercase[:8], repeat=3), count)]
    made = {symbol: random_symbol(symbol, rng, days, timeframe) for symbol in symbols}
    bars = pd.concat(frame for frame, _ in made.values())
    actions = pd.concat(found for _, found in made.values()).sample(frac=1, random_state=14, ignore_index=True)
    half = bars["bar_start"] < days[len(days) // 2]
    late = actions.index % 3 == 0
    amended = actions[~late & (actions["action_type"] == "cash_dividend")].head(2)

    warehouse.load(feed, bars[half], OBSERVED)
    warehouse.act(feed, OBSERVED, *wire(actions[~late].assign(rate=lambda a: a["rate"].where(
        ~a.index.isin(amended.index), a["rate"] * 2
    ))))  # fmt: skip
    warehouse.build(*models)
    warehouse.load(feed, bars[~half], OBSERVED + pd.Timedelta(hours=1))
    warehouse.build(*models)
    warehouse.act(feed, OBSERVED + pd.Timedelta(days=1), *wire(pd.concat([actions[late], amended])))
    warehouse.build(*models)

    statuses = warehouse.table("MARTS.FCT_CORPORATE_ACTIONS")
    assert set(statuses["status"]) == {"applied"}
    assert statuses["versions"].tolist().count(2) == len(amended) == 2
    facts = warehouse.query(
        "select bars.*, returns.simple_return, returns.total_return, returns.drawdown, "
        "returns.realised_volatility_30d, returns.sharpe_30d from MARTS.FCT_BARS_1D_ADJUSTED as bars "
        "inner join MARTS.FCT_RETURNS_1D as returns using (feed, symbol, bar_date) order by bar_date"
    )
    hourly = warehouse.query("select * from MARTS.FCT_BARS_ADJUSTED order by bar_start")
    daily = warehouse.query("select symbol, bar_date, sma_20 from MARTS.FCT_INDICATORS_1D order by bar_date")
    for symbol, (frame, happened) in made.items():
        expected = adjusted(frame, happened)
        found = facts[facts["symbol"] == symbol].set_index("bar_date")
        assert found.index.tolist() == expected.index.tolist()
        assert expected["split"].iloc[0] != 1
        changes = expected["close_total_return"].pct_change()
        logarithmic = np.log1p(changes)
        expected["simple_return"] = expected["close_split"].pct_change()
        expected["total_return"] = changes
        expected["drawdown"] = expected["close_total_return"] / expected["close_total_return"].cummax() - 1
        expected["realised_volatility_30d"] = logarithmic.rolling(30).std() * np.sqrt(252)
        expected["sharpe_30d"] = (changes.rolling(30).mean() * 252 - 0.04) / (changes.rolling(30).std() * np.sqrt(252))
        for name in expected.columns.difference(["split", "total"]):
            np.testing.assert_allclose(found[name].astype(float), expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
        of_hours = hourly[hourly["symbol"] == symbol]
        np.testing.assert_allclose(of_hours["close_total_return"], expected["close_total_return"], rtol=1e-9)
        indicators = daily[daily["symbol"] == symbol]
        np.testing.assert_allclose(
            indicators["sma_20"].astype(float), expected["close_split"].rolling(20).mean(), rtol=1e-9
        )
    # Of total returns, between two that are compared.
    found = warehouse.query("select * from MARTS.FCT_CORRELATIONS order by symbol_a, symbol_b, bar_date")
    pair = found.iloc[0][["symbol_a", "symbol_b"]].tolist()
    closes = pd.DataFrame({symbol: adjusted(*made[symbol])["close_total_return"] for symbol in pair})
    changes = np.log(closes).diff().dropna()
    expected = changes[pair[0]].rolling(30).corr(changes[pair[1]]).dropna()
    correlations = found.loc[(found[["symbol_a", "symbol_b"]] == pair).all(axis=1), "correlation_30d"]
    np.testing.assert_allclose(correlations, expected, rtol=1e-9)
    assert_equals_full_refresh(warehouse, *models)
