from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from crypto_platform.cli.runs import MaterializationRequest, materialize
from crypto_platform.cli.source_option import SourceOption
from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion.universe import Universe
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.asset_keys import GAPS
from crypto_platform.orchestration.automation import repair
from crypto_platform.orchestration.automation.never_requested import advice
from crypto_platform.orchestration.automation.repair import Gap, Repair, State
from crypto_platform.settings import Settings, use

D, T = date.fromisoformat, datetime.fromisoformat
SPEC = feeds()["us_equity"]
LAKE = Lake("memory://no-lake")
UNIVERSE = Universe(LAKE, "us_equity", SPEC)
TODAY = D("2026-05-20")
SETTINGS = Settings()


def gap(symbol: str, start: str, end: str) -> Gap:
    return Gap(symbol, T(start), T(end))


def asked(*gaps: Gap, attempts: dict[str, int] | None = None, busy: list | None = None) -> list[Repair]:
    return repair.repairs(UNIVERSE, gaps, attempts or {}, busy or [], TODAY)[0]


def test_days_with_the_same_symbols_share_a_run() -> None:
    found = asked(
        gap("SPY", "2026-05-04 14:00", "2026-05-04 15:00"),
        gap("SPY", "2026-05-05 14:00", "2026-05-05 14:15"),
        gap("SPY", "2026-05-05 15:00", "2026-05-05 15:15"),
        gap("NVDA", "2026-05-06 14:00", "2026-05-06 14:15"),
        gap("SPY", "2026-05-06 14:00", "2026-05-06 14:15"),
    )
    assert found == [
        Repair("us_equity", (D("2026-05-04"), D("2026-05-06")), ("SPY",)),
        Repair("us_equity", (D("2026-05-06"), D("2026-05-07")), ("SPY", "NVDA")),
    ]
    assert found[0].tags["dagster/asset_partition_range_end"] == "2026-05-05"
    assert found[1].run_config["resources"]["selection"]["config"]["symbols"] == ["SPY", "NVDA"]


def test_of_a_universe_the_days_on_which_the_symbol_is_a_member(tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("symbol,from,to\nSPY,,2026-05-05\nNVDA,,\n")
    spec = FeedSpec(asset_class="us_equity", universe={"file": tmp_path / "members.csv"}, start_date=SPEC.start_date)
    gaps = [gap(symbol, "2026-05-04 14:00", "2026-05-05 15:00") for symbol in ("NVDA", "QQQ", "SPY")]
    found, attempts, _ = repair.repairs(Universe(LAKE, "us_equity", spec), gaps, {}, [], TODAY)
    assert found == [
        Repair("us_equity", (D("2026-05-04"), D("2026-05-05")), ("NVDA", "SPY")),
        Repair("us_equity", (D("2026-05-05"), D("2026-05-06")), ("NVDA",)),
    ]
    assert set(attempts) == {"NVDA 2026-05-04", "NVDA 2026-05-05", "SPY 2026-05-04"}


def test_a_gap_over_midnight_is_of_both_days_and_one_up_to_it_of_one() -> None:
    assert asked(gap("SPY", "2026-05-04 23:00", "2026-05-05 00:00"))[0].days == (D("2026-05-04"), D("2026-05-05"))
    assert asked(gap("SPY", "2026-05-04 23:00", "2026-05-05 00:15"))[0].days == (D("2026-05-04"), D("2026-05-06"))


def test_a_missing_session_of_daily_bars_is_of_its_own_day_alone() -> None:
    """Its bar covers [midnight, midnight) in New York, which ends in the UTC day after."""
    daily = SPEC.model_copy(update={"timeframe": "1Day"})
    gaps = [
        gap("SPY", "2026-03-06 05:00", "2026-03-07 05:00"),
        gap("NVDA", "2026-03-09 04:00", "2026-03-11 04:00"),  # two sessions
        gap("AAPL", "2025-10-31 04:00", "2025-11-01 04:00"),
    ]
    found, _, _ = repair.repairs(Universe(LAKE, "us_equity", daily), gaps, {}, [], TODAY)
    assert [(one.days, one.symbols) for one in found] == [
        ((D("2025-10-31"), D("2025-11-01")), ("AAPL",)),
        ((D("2026-03-06"), D("2026-03-07")), ("SPY",)),
        ((D("2026-03-09"), D("2026-03-11")), ("NVDA",)),
    ]


def test_today_other_symbols_and_days_at_work_are_left_alone() -> None:
    assert asked(gap("SPY", "2026-05-20 14:00", "2026-05-20 15:00")) == []
    assert asked(gap("GONE", "2026-05-04 14:00", "2026-05-04 15:00")) == []
    assert asked(gap("SPY", "2024-05-06 14:00", "2024-05-06 15:00")) == []
    busy = [(D("2026-05-04"), D("2026-05-05"))]
    assert asked(gap("SPY", "2026-05-04 14:00", "2026-05-04 15:00"), busy=busy) == []


def test_attempts_and_runs_are_bounded() -> None:
    gaps = [gap("SPY", f"2026-05-{d:02} 14:00", f"2026-05-{d:02} 15:00") for d in range(1, 19, 2)]
    attempts: dict[str, int] = {}
    asked_for: dict[date, int] = {}
    while True:
        found, attempts, given_up = repair.repairs(UNIVERSE, gaps, attempts, [], TODAY)
        assert len(found) <= repair.RUNS_A_TICK
        if not found:
            break
        for one in found:
            asked_for[one.days[0]] = asked_for.get(one.days[0], 0) + 1
    assert set(asked_for.values()) == {repair.MOST_ATTEMPTS}
    assert len(given_up) == len(gaps)
    # A gap that is closed is forgotten, so that a later one of its day is asked for.
    assert repair.repairs(UNIVERSE, [], attempts, [], TODAY) == ([], {}, set())


def test_a_look_is_taken_when_dbt_judged_anew_or_a_repair_failed() -> None:
    now, looks = datetime(2026, 5, 20, tzinfo=UTC), []

    def gaps() -> Iterator[Gap]:
        looks.append(1)
        yield gap("SPY", "2026-05-04 14:00", "2026-05-04 15:00")

    def none() -> list[Gap]:
        looks.append(0)
        return []

    with dg.instance_for_test() as instance:
        state = State.of(None)
        first = repair.tick(instance, "us_equity", state, gaps, now, SETTINGS)
        assert (first.repairs, looks) == ([], [])
        instance.report_runless_asset_event(dg.AssetMaterialization(GAPS, partition="2026-05-04"))
        second = repair.tick(instance, "us_equity", first.state, gaps, now, SETTINGS)
        assert len(second.repairs) == 1
        # It failed before dbt: no new build, and another attempt.
        third = repair.tick(instance, "us_equity", State.of(second.state.cursor), gaps, now, SETTINGS)
        assert third.state.attempts == {"SPY 2026-05-04": 2}
        # It came to an end, and the gap is closed.
        instance.report_runless_asset_event(dg.AssetMaterialization(GAPS, partition="2026-05-04"))
        fourth = repair.tick(instance, "us_equity", third.state, none, now, SETTINGS)
        assert (fourth.repairs, fourth.state.attempts) == ([], {})
        fifth = repair.tick(instance, "us_equity", fourth.state, gaps, now, SETTINGS)
        assert (fifth.repairs, fifth.why) == ([], "dbt has judged no gaps since the last look")
    assert looks == [1, 1, 0]


def never(symbol: str, start: str, end: str) -> Gap:
    return Gap(symbol, T(start), T(end), requested=False)


def test_days_that_were_never_requested_are_left_to_a_person_who_is_told_what_they_take(tmp_path: Path) -> None:
    settings = Settings(crypto_platform_home=tmp_path)
    monday, friday = D("2026-05-04"), D("2026-05-08")
    found = [
        gap("SPY", "2026-05-11 14:00", "2026-05-11 15:00"),
        *(never("SPY", f"2026-05-0{d} 13:30", f"2026-05-0{d} 20:00") for d in (4, 5, 8)),
        *(never("AAPL", f"2026-05-0{d} 13:30", f"2026-05-0{d} 20:00") for d in (4, 5, 8)),
        *(never("NVDA", f"2026-05-0{d} 13:30", f"2026-05-0{d} 20:00") for d in (4, 5, 8)),
        *(never("NVDA", f"2026-05-1{d} 13:30", f"2026-05-1{d} 20:00") for d in (2, 3)),
        # Today is not over.
        never("NVDA", "2026-05-20 13:30", "2026-05-20 20:00"),
    ]
    with dg.instance_for_test() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(GAPS, partition="2026-05-04"))

        def tick(state: State, settings: Settings) -> repair.Tick:
            return repair.tick(instance, "us_equity", state, lambda: found, datetime(2026, 5, 20, tzinfo=UTC), settings)

        alone = tick(State(), settings)
        assert [(r.days, r.symbols) for r in alone.repairs] == [((D("2026-05-11"), D("2026-05-12")), ("SPY",))]
        assert alone.state.attempts == {"SPY 2026-05-11": 1}
        assert alone.why == (
            "1 runs; 5 days were never requested and are left alone, unless REPAIR_NEVER_REQUESTED=true: "
            f"`crypto-platform backfill --feed us_equity --from {monday} --to 2026-05-09 --missing-only` "
            "(5 days, 1 requests, 0 minutes at the least), "
            "`crypto-platform backfill --feed us_equity --from 2026-05-12 --to 2026-05-14 --symbols NVDA "
            "--missing-only` (2 days, 1 requests, 0 minutes at the least)"
        )

        # Said as long as it is so, and asked for once a person allows it, though dbt has judged nothing since.
        del found[0]
        idle = tick(State.of(alone.state.cursor), settings)
        assert idle.repairs == []
        assert tick(idle.state, settings).why == f"dbt has judged no gaps since the last look; {idle.state.left_alone}"
        allowed = settings.model_copy(update={"repair_never_requested": True})
        asked_for = tick(idle.state, allowed)
        everything = (monday, D("2026-05-06")), (friday, D("2026-05-09")), (D("2026-05-12"), D("2026-05-14"))
        assert tuple(r.days for r in asked_for.repairs) == everything
        assert (asked_for.why, asked_for.state.left_alone) == ("3 runs", "")


def test_a_day_that_was_loaded_without_being_asked_for_takes_more_than_what_is_missing(tmp_path: Path) -> None:
    days = {SPEC.symbols: [D("2026-05-04"), D("2026-05-06")]}
    there = {D("2026-05-04"), D("2026-05-05")}
    text = advice(Settings(crypto_platform_home=tmp_path), "us_equity", SPEC, days, there)
    assert "`crypto-platform backfill --feed us_equity --from 2026-05-04 --to 2026-05-07` (3 days," in text
    assert advice(Settings(crypto_platform_home=tmp_path), "us_equity", SPEC, {}, there) == ""


HOLE = datetime(2025, 2, 10, 12, tzinfo=UTC)


def recording(folder: Path, hole: bool) -> SourceOption:
    """A day of BTC/USD, with five minutes missing or not."""
    folder.mkdir()
    minutes = [datetime(2025, 2, 10, tzinfo=UTC) + timedelta(minutes=n) for n in range(1440)]
    kept = [m for m in minutes if not (hole and HOLE <= m < HOLE + timedelta(minutes=5))]
    lines = [f"{m.isoformat()},BTC/USD,100,101,99,100,1" for m in kept]
    (folder / "made_1Min.csv").write_text("\n".join(["timestamp,symbol,open,high,low,close,volume", *lines]))
    return SourceOption(recordings=folder)


def test_a_gap_of_ours_is_asked_for_until_it_is_known_to_be_the_vendors_or_closed(
    platform: Settings, tmp_path: Path
) -> None:
    request = MaterializationRequest("crypto", D("2025-02-10"), D("2025-02-11"))

    def run(source: SourceOption, stages: tuple[str, ...] = ("alpaca", "kafka", "raw")) -> None:
        with source.address(platform) as addressed:
            use(addressed)
            done = materialize(request, stages=stages)
            assert done.ok, str(done.errors)

    def judged() -> list[str]:
        with connect(platform) as connection:
            rows = connection.cursor().execute(
                "SELECT gap_class FROM MARTS.FCT_GAPS WHERE symbol = 'BTC/USD' AND gap_start = '2025-02-10 12:00:00'"
            )
            return [row[0] for row in rows]

    def tick(state: State) -> repair.Tick:
        def gaps() -> list[Gap]:
            with connect(platform) as connection:
                return [g for g in repair.gaps_of_ours(connection, "crypto") if g.start.date() == request.start]

        with dg.DagsterInstance.get() as instance:
            return repair.tick(instance, "crypto", state, gaps, datetime.now(UTC), platform)

    broken = recording(tmp_path / "broken", hole=True)
    run(broken)
    assert judged() == ["missing_at_vendor"]
    # As if nobody had asked since the morning.
    with connect(platform) as connection:
        day = "bar_start >= '2025-02-10' AND bar_start < '2025-02-11'"
        connection.cursor().execute("DELETE FROM RAW.REQUESTED_PARTITIONS WHERE partition_date = '2025-02-10'")
        connection.cursor().execute(f"UPDATE RAW.CRYPTO_BARS SET observed_at = '2025-02-10 11:00:00' WHERE {day}")
    run(broken, stages=())
    assert judged() == ["not_ingested"]
    found = tick(State())
    assert found.repairs == [Repair("crypto", (request.start, request.end), ("BTC/USD",))]

    # The bars are the same again, so the ledger gets no row: what tells is that Alpaca was asked.
    run(broken)
    assert judged() == ["missing_at_vendor"]
    assert tick(found.state).repairs == []
    run(recording(tmp_path / "whole", hole=False))
    assert judged() == []
