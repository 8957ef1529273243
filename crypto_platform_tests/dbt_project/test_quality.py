"""What is missing, why, and what is odd: on recordings with holes cut into them."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from crypto_platform.connectors.snowflake import connection
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh, days
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

OBSERVED = pd.Timestamp("2026-06-01")
JUDGED = ("fct_gaps", "fct_completeness", "fct_bar_versions")


def without(bars: pd.DataFrame, *spans: tuple[str, str]) -> pd.DataFrame:
    """The bars outside of the half-open spans."""
    for start, end in spans:
        bars = bars[(bars["bar_start"] < start) | (bars["bar_start"] >= end)]
    return bars


@pytest.fixture(scope="module")
def holey(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Days of bitcoin and SPY with holes; one of them, on 3 March, was filled by a later load."""
    warehouse = new_warehouse("HOLEY")
    bitcoin = days(recording("BTC-USD_1Min"), "2026-03-01", "2026-03-07")
    filled = ("2026-03-03 10:00", "2026-03-03 10:03")
    holes = [
        ("2026-03-01 12:00", "2026-03-01 12:05"),
        ("2026-03-02 23:50", "2026-03-03 00:10"),
        ("2026-03-04", "2026-03-05"),
    ]
    warehouse.load("crypto", without(bitcoin, filled, *holes), OBSERVED)
    spy = days(recording("SPY_15Min"), "2025-11-25", "2025-12-02")
    warehouse.load("us_equity", without(spy, ("2025-11-26 15:00", "2025-11-26 16:00")), OBSERVED)
    warehouse.build(*JUDGED)
    warehouse.load("crypto", days(bitcoin, *filled), OBSERVED + pd.Timedelta(hours=1))
    correction = bitcoin[bitcoin["bar_start"] == "2026-03-05 01:00"].assign(volume=1.0)
    warehouse.load("crypto", correction, OBSERVED + pd.Timedelta(hours=2))
    with connection.connect(warehouse.settings) as session:
        for value in (b'{"t":"2026-03-05T02:00:00Z","o":-1}', b"\xff junk"):
            session.cursor().execute(
                "insert into RAW.REJECTED_BARS select 'crypto', 't', 0, 0, 'no bar', to_binary(%s, 'HEX'), "
                "to_binary(%s, 'HEX'), 'l', '2026-03-06'::timestamp_ntz",
                (b"BTC/USD".hex(), value.hex()),
            )
    warehouse.build(*JUDGED)
    return warehouse


def test_gaps_of_crypto(holey: Warehouse) -> None:
    gaps = holey.query("select * from MARTS.FCT_GAPS where symbol = 'BTC/USD' order by gap_start")
    found = list(zip(*(gaps[c] for c in ("gap_start", "gap_end", "missing_bars", "gap_class")), strict=True))
    assert found == [
        (pd.Timestamp("2026-03-01 12:00"), pd.Timestamp("2026-03-01 12:05"), 5, "missing_at_vendor"),
        # Over midnight it is one gap.
        (pd.Timestamp("2026-03-02 23:50"), pd.Timestamp("2026-03-03 00:10"), 20, "missing_at_vendor"),
        # Of a whole day nothing tells that it was ever asked for.
        (pd.Timestamp("2026-03-04 00:00"), pd.Timestamp("2026-03-05 00:00"), 1440, "never_requested"),
    ]


def test_gaps_of_a_stock(holey: Warehouse) -> None:
    gaps = holey.query("select * from MARTS.FCT_GAPS where symbol = 'SPY' order by gap_start")
    in_session = gaps[gaps["gap_class"] != "market_closed"]
    assert in_session[["gap_start", "missing_bars", "gap_class"]].to_numpy().tolist() == [
        [pd.Timestamp("2025-11-26 15:00"), 4, "no_trade"]
    ]
    # No gap overlaps another or a bar, and together with the bars they leave nothing out.
    bars = holey.query("select bar_start from MARTS.FCT_BARS where symbol = 'SPY' order by 1")["bar_start"]
    covered = pd.concat(
        [
            gaps[["gap_start", "gap_end"]].set_axis(["start", "end"], axis=1),
            pd.DataFrame({"start": bars, "end": bars + pd.Timedelta(minutes=15)}),
        ]
    ).sort_values("start", ignore_index=True)
    assert (covered["start"][1:].to_numpy() == covered["end"][:-1].to_numpy()).all()
    # Thanksgiving is closed, the day after closes at 13:00.
    closed = gaps[(gaps["gap_start"] <= "2025-11-27 15:00") & (gaps["gap_end"] > "2025-11-27 15:00")]
    assert closed["gap_class"].tolist() == ["market_closed"]


def test_completeness(holey: Warehouse) -> None:
    facts = holey.query("select * from MARTS.FCT_COMPLETENESS").set_index(["symbol", "bar_date"])
    columns = ["expected_bars", "actual_bars", "missing_bars", "corrected_bars", "late_bars", "rejected_bars"]
    bitcoin = facts.loc["BTC/USD", columns]
    assert {day.day: row.tolist() for day, row in bitcoin.iterrows()} == {
        1: [1440, 1435, 5, 0, 0, 0],
        2: [1440, 1430, 10, 0, 0, 0],
        3: [1440, 1430, 10, 0, 3, 0],
        4: [1440, 0, 1440, 0, 0, 0],
        5: [1440, 1440, 0, 1, 0, 1],
        6: [1440, 1440, 0, 0, 0, 1],
    }
    assert facts.loc[("BTC/USD", date(2026, 3, 2)), "percent_complete"] == pytest.approx(100 * 1430 / 1440)
    stock = facts.loc["SPY", columns]
    assert {day: row.tolist()[:3] for day, row in stock.iterrows()} == {
        date(2025, 11, 25): [26, 26, 0],
        date(2025, 11, 26): [26, 22, 4],
        date(2025, 11, 28): [14, 14, 0],
        date(2025, 12, 1): [26, 26, 0],
    }


def test_a_bar_is_told_as_it_was_known_at_a_time(holey: Warehouse) -> None:
    bar = pd.Timestamp("2026-03-05 01:00")
    recorded_volume = recording("BTC-USD_1Min").set_index("bar_start").loc[bar, "volume"]
    hours = {-1: [], 0: [recorded_volume], 1: [recorded_volume], 2: [1.0], 3: [1.0]}
    for after, volumes in hours.items():
        known_at = f"'{OBSERVED + pd.Timedelta(hours=after)}'::timestamp_ntz"
        query = f"""select volume from ({{{{ bars_as_of("{known_at}") }}}}) as known where bar_start = '{bar}'"""
        (compiled,) = holey.dbt("compile", "--inline", query)
        assert holey.query(compiled.node.compiled_code)["volume"].tolist() == volumes, after
        by_hand = (
            f"select volume from INTERMEDIATE.INT_BAR_VERSIONS where bar_start = '{bar}' and observed_at <= {known_at} "
            f"and (superseded_at is null or superseded_at > {known_at})"
        )
        assert holey.query(by_hand)["volume"].tolist() == volumes, after


def test_holes_filled_and_corrected_equal_a_full_refresh(holey: Warehouse) -> None:
    assert_equals_full_refresh(holey, *JUDGED)


def test_bars_not_asked_for_again_are_missed_by_us(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("STREAMED")
    bitcoin = without(
        days(recording("BTC-USD_1Min"), "2026-03-01", "2026-03-02"), ("2026-03-01 12:00", "2026-03-01 12:05")
    )
    morning, rest = (
        days(bitcoin, "2026-03-01", "2026-03-01 12:00"),
        days(bitcoin, "2026-03-01 12:00", "2026-03-01 18:00"),
    )
    warehouse.load("crypto", morning, pd.Timestamp("2026-03-01 12:00"))
    # Told by stream a moment into the bar at 18:00, which is not over.
    warehouse.load("crypto", rest, pd.Timestamp("2026-03-01 18:00:30.25"), source="stream")
    warehouse.build(*JUDGED)
    gaps = warehouse.query("select * from MARTS.FCT_GAPS order by gap_start")
    # The evening has not come yet.
    assert gaps[["gap_start", "missing_bars", "gap_class"]].to_numpy().tolist() == [
        [pd.Timestamp("2026-03-01 12:00"), 5, "not_ingested"]
    ]

    # Asked again, Alpaca had no bar that is new: nothing but this is loaded.
    with connection.connect(warehouse.settings) as session:
        until = pd.Timestamp("2026-03-01 18:00", tz="UTC").to_pydatetime()
        record(session, "crypto", "1Min", [RequestedPartition("BTC/USD", date(2026, 3, 1), until, 1075)], "run")
    warehouse.build(*JUDGED)
    assert warehouse.table("MARTS.FCT_GAPS")["gap_class"].tolist() == ["missing_at_vendor"]
    assert_equals_full_refresh(warehouse, *JUDGED)


def test_days_that_nobody_ever_asked_for_are_a_class_of_their_own(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("FAR_APART")
    bitcoin = recording("BTC-USD_1Min")
    warehouse.load("crypto", days(bitcoin, "2026-03-01", "2026-03-02"), OBSERVED)
    warehouse.load("crypto", days(bitcoin, "2026-03-06", "2026-03-07"), OBSERVED)
    spy = days(recording("SPY_15Min"), "2025-11-25", "2025-12-02")
    warehouse.load("us_equity", without(spy, ("2025-11-26", "2025-12-01")), OBSERVED)

    def judged(symbol: str) -> list[tuple[str, str, int]]:
        gaps = warehouse.query(f"select * from MARTS.FCT_GAPS where symbol = '{symbol}' order by gap_start")
        shown = gaps[gaps["gap_class"] != "market_closed"]
        return [(f"{g.gap_start:%m-%d}", g.gap_class, g.missing_bars) for g in shown.itertuples()]

    warehouse.build(*JUDGED)
    assert judged("BTC/USD") == [("03-02", "never_requested", 4 * 1440)]
    # Thanksgiving and the weekend are closed.
    assert judged("SPY") == [("11-26", "never_requested", 26), ("11-28", "never_requested", 14)]

    # Asked for, the answer not whole in the ledger; and asked for, without a bar.
    with connection.connect(warehouse.settings) as session:
        start = pd.Timestamp("2026-03-03", tz="UTC").to_pydatetime()
        record(session, "crypto", "1Min", [RequestedPartition("BTC/USD", date(2026, 3, 3), start, 1440)], "run")
        record(
            session, "crypto", "1Min", [RequestedPartition("BTC/USD", date(2026, 3, 4), datetime.now(UTC), 0)], "run"
        )
    warehouse.build(*JUDGED)
    assert judged("BTC/USD") == [
        ("03-02", "never_requested", 1440),
        ("03-03", "not_ingested", 1440),
        ("03-04", "missing_at_vendor", 1440),
        ("03-05", "never_requested", 1440),
    ]
    assert_equals_full_refresh(warehouse, *JUDGED)


def test_anomalies_are_far_out_of_their_own_history(recorded: Warehouse) -> None:
    anomalies = recorded.query("select * from MARTS.BAR_ANOMALIES where symbol = 'BTC/USD' order by bar_start")
    hours = recorded.query(
        "select bar_start, open, close, volume from MARTS.FCT_BARS_1H where symbol = 'BTC/USD' order by 1"
    )
    hours["change"] = np.log(hours["close"] / hours["open"])
    expected = []
    for hour in hours.itertuples():
        age = (hour.bar_start.normalize() - hours["bar_start"].dt.normalize()).dt.days
        past = hours[(hours["bar_start"].dt.hour == hour.bar_start.hour) & (age > 0) & (age <= 30)]
        if len(past) >= 10:
            scores = {}
            for name in ("change", "volume"):
                median = past[name].median()
                scores[name] = (getattr(hour, name) - median) / (1.4826 * (past[name] - median).abs().median())
            if abs(scores["change"]) >= 8 or scores["volume"] >= 8:
                expected.append((hour.bar_start, scores["change"], scores["volume"]))
    assert anomalies["bar_start"].tolist() == [start for start, _, _ in expected]
    assert len(expected) > 0
    scores = anomalies[["return_score", "volume_score"]].to_numpy().tolist()
    np.testing.assert_allclose(scores, [list(row[1:]) for row in expected], rtol=1e-9)
