"""`adjustment` of stock bars, held against sums written apart and against what must not change."""

import json
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from crypto_platform.sandbox.alpaca import running
from crypto_platform.sandbox.alpaca.recordings import Recorded
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform.sandbox.alpaca.timeframes import ONE_DAY, Timeframe
from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS
from crypto_platform_tests.sandbox.alpaca.test_corporate_actions import written
from crypto_platform_tests.sandbox.alpaca.test_rest import FIXTURES, get

LEAN = FIXTURES.parent / "lean"
SPLIT, BOTH = frozenset({"split"}), frozenset({"split", "dividend"})
NEW_YORK = ZoneInfo("America/New_York")


def recorded(folder: Path, closes: dict[str, float], actions: dict[str, list[dict]], symbol: str = "AAPL") -> Recorded:
    rows = [
        f"{symbol},{datetime.fromisoformat(day).replace(tzinfo=NEW_YORK).isoformat()},{c},{c},{c},{c},1000"
        for day, c in closes.items()
    ]
    (folder / "made_1Day.csv").write_text("\n".join(["symbol,timestamp,open,high,low,close,volume", *rows]))
    return Recorded(written(folder, {"corporate_actions": actions}))


def closes(source: Recorded, adjustment: frozenset[str], timeframe: Timeframe = ONE_DAY) -> list[float]:
    return source.bars("AAPL", "us_equity", timeframe, 0, 2**62, 10_000, adjustment=adjustment).columns["c"].tolist()


WEEK = {"2020-08-27": 100.0, "2020-08-28": 80.0, "2020-08-31": 20.0, "2020-09-01": 22.0}
SPLIT_4 = {"symbol": "AAPL", "new_rate": 4, "old_rate": 1, "ex_date": "2020-08-31", "process_date": "2020-08-31"}
PAID_2 = {"symbol": "AAPL", "rate": 2, "ex_date": "2020-09-01", "process_date": "2020-09-10"}


def test_a_split_and_a_dividend_go_back_from_their_ex_dates(tmp_path: Path) -> None:
    source = recorded(tmp_path, WEEK, {"forward_splits": [SPLIT_4], "cash_dividends": [PAID_2]})
    assert closes(source, frozenset()) == [100, 80, 20, 22]
    assert closes(source, SPLIT) == [25, 20, 20, 22]
    assert closes(source, frozenset({"dividend"})) == pytest.approx([90, 72, 18, 22])
    assert closes(source, BOTH) == pytest.approx([22.5, 18, 18, 22])
    bars = source.bars("AAPL", "us_equity", ONE_DAY, 0, 2**62, 100, adjustment=BOTH)
    assert bars.columns["v"].tolist() == [4000, 4000, 1000, 1000]
    assert closes(source, SPLIT, Timeframe.parse("1Week")) == [20, 22]
    one = source.bars("AAPL", "us_equity", ONE_DAY, 0, 2**62, 1, descending=True, adjustment=SPLIT)
    assert one.columns["c"].tolist() == [22]


@pytest.mark.parametrize(
    ("plural", "action", "expected"),
    [
        ("reverse_splits", SPLIT_4 | {"new_rate": 1, "old_rate": 8}, [800, 640, 20, 22]),
        ("stock_dividends", PAID_2 | {"rate": 0.25}, [80, 64, 16, 22]),
        (
            "unit_splits",
            {"old_symbol": "AAPL", "old_rate": 1, "new_rate": 2, "effective_date": "2020-08-28"}
            | {"process_date": "2020-08-28", "new_symbol": "MSFT"},
            [50, 80, 20, 22],
        ),
        ("forward_splits", SPLIT_4 | {"ex_date": "2020-08-29"}, [25, 20, 20, 22]),
        *(
            ("forward_splits", SPLIT_4 | wrong, [100, 80, 20, 22])
            for wrong in (
                {"new_rate": 0},
                {"old_rate": -1},
                {"new_rate": "4"},
                {"new_rate": None},
                {"ex_date": None},
                {"ex_date": "soon"},
                {"symbol": "MSFT", "new_symbol": "AAPL"},
                {"ex_date": "2020-09-02"},
            )
        ),
        ("cash_dividends", PAID_2 | {"rate": 20}, [100, 80, 20, 22]),
        ("cash_dividends", PAID_2 | {"ex_date": "2020-08-27"}, [100, 80, 20, 22]),
        ("spin_offs", {"source_symbol": "AAPL", **SPLIT_4}, [100, 80, 20, 22]),
    ],
)
def test_each_type_has_its_factor_and_a_wrong_action_none(tmp_path: Path, plural, action, expected) -> None:
    source = recorded(tmp_path, WEEK, {plural: [action]})
    assert closes(source, BOTH) == pytest.approx(expected)


def test_aapl_is_adjusted_as_lean_adjusts_it(tmp_path: Path) -> None:
    """Every day from 1998 to March 2021, by the shipped actions; Lean keeps seven decimals of a factor."""
    raw, lean = (pd.read_csv(LEAN / f"lean_aapl_1d_{name}.csv.gz") for name in ("raw", "expected_adjusted"))
    shipped = json.loads((RECORDINGS / "AAPL_corporate-actions.json").read_text())["corporate_actions"]
    source = recorded(tmp_path, dict(zip(raw.date, raw.close, strict=True)), shipped)
    assert len(lean) == 5849
    np.testing.assert_allclose(closes(source, SPLIT), lean.close_split, rtol=1e-5)
    np.testing.assert_allclose(closes(source, BOTH), lean.close_total_return, rtol=1e-5)


def test_two_actions_of_one_day_multiply(tmp_path: Path) -> None:
    source = recorded(tmp_path, WEEK, {"forward_splits": [SPLIT_4, SPLIT_4 | {"new_rate": 2}]})
    assert closes(source, SPLIT) == [12.5, 10, 20, 22]


@pytest.mark.sandbox
def test_the_api_adjusts_intraday_bars_too(tmp_path: Path) -> None:
    (tmp_path / "AAPL_15Min.csv").write_text(
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap\n"
        "AAPL,2020-08-28T19:45:00Z,499.80,500.00,498.80,499.20,120000,950,499.4\n"
        "AAPL,2020-08-31T13:30:00Z,127.60,128.90,126.00,128.20,400000,3000,127.5\n"
        "AAPL,2020-08-31T13:45:00Z,128.20,131.00,128.10,129.00,380000,2900,129.5\n"
    )
    written(tmp_path, {"corporate_actions": {"forward_splits": [SPLIT_4]}})
    asked = {"symbols": "AAPL", "start": "2020-08-28", "end": "2020-09-01"}
    with running(tmp_path) as url:
        for adjustment in ("split", "all", "dividend,split"):
            bars = get(url, "/v2/stocks/bars", **asked, timeframe="15Min", adjustment=adjustment).json()["bars"]["AAPL"]
            assert bars[0] == {
                "c": 124.8, "h": 125, "l": 124.7, "n": 950, "o": 124.95, "t": "2020-08-28T19:45:00Z", "v": 480000,
                "vw": 124.85,
            }  # fmt: skip
        days = get(url, "/v2/stocks/bars", **asked, timeframe="1Day", adjustment="split").json()["bars"]["AAPL"]
        assert days[1]["c"] / days[0]["c"] - 1 == pytest.approx(0.03365, abs=1e-5)
        raw = get(url, "/v2/stocks/bars", **asked, timeframe="1Day").json()["bars"]["AAPL"]
        assert raw[0]["c"] == 499.2
        assert get(url, "/v2/stocks/bars", **asked, timeframe="1Day", adjustment="none").status_code == 400


@pytest.mark.slow
def test_simulated_prices_are_adjusted_by_their_own_actions() -> None:
    """The factors of design written with pandas, from the actions and raw days as the API gives them."""
    source = Simulated()
    start, end = (int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2019-01-01", "2024-01-01"))
    raw, split, both = (
        source.bars("KO", "us_equity", ONE_DAY, start, end, 10**6, adjustment=a) for a in (frozenset(), SPLIT, BOTH)
    )
    days = pd.to_datetime(raw.times, utc=True).tz_convert("America/New_York").strftime("%Y-%m-%d")
    close = pd.Series(raw.columns["c"], days)
    factor, shares = pd.Series(1.0, days), pd.Series(1.0, days)
    known = source.corporate_actions.between(("KO",), date.min, date.max)
    for action in known:
        ex = action.body["ex_date"]
        if not "2019-01-03" <= ex < "2023-12-31":
            continue
        earlier = close.index < ex
        if action.plural == "cash_dividends":
            factor[earlier] *= 1 - action.body["rate"] / close[earlier].iloc[-1]
        else:
            shares[earlier] *= action.body["new_rate"] / action.body["old_rate"]
    assert shares.iloc[0] != 1
    # The newest of these days is not today: what came since is one factor more for all of them.
    since = both.columns["c"][-1] / close.iloc[-1]
    since_split = split.columns["c"][-1] / close.iloc[-1]
    np.testing.assert_allclose(split.columns["c"], close / shares * since_split, rtol=1e-9)
    np.testing.assert_allclose(both.columns["c"], close / shares * factor * since, rtol=1e-9)
    np.testing.assert_allclose(split.columns["v"] * since_split, raw.columns["v"] * shares, rtol=1e-4)
    returns = np.diff(np.log(both.columns["c"]))
    assert np.abs(returns).max() < 0.2 < np.abs(np.diff(np.log(close))).max()
