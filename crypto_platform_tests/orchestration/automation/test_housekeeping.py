import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from crypto_platform.connectors.lake import Lake, Section, UniverseDay
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.defs.housekeeping import housekeeping
from crypto_platform.orchestration.automation.housekeeping import clean, old_runs
from crypto_platform.settings import Settings

NOW = datetime.now(UTC)
KEY = dg.AssetKey(["raw", "made_bars"])


@pytest.fixture
def instance(fresh_settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(fresh_settings))) as opened:
        yield opened


@dg.asset(key=KEY, partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
def bars(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.info("made")
    return dg.MaterializeResult()


def materialise(instance: dg.DagsterInstance, day: str) -> str:
    return dg.materialize([bars], instance=instance, partition_key=day).run_id


@pytest.mark.parametrize("at_once", [1, 200])
def test_a_run_goes_when_a_later_one_did_its_partitions(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("crypto_platform.orchestration.automation.housekeeping.RUNS_AT_ONCE", at_once)
    only = materialise(instance, "2026-02-02")
    first, again = materialise(instance, "2026-02-01"), materialise(instance, "2026-02-01")
    assert old_runs(instance, NOW - timedelta(days=1)) == []
    assert old_runs(instance, datetime.now(UTC)) == [first]
    assert {run.run_id for run in instance.get_runs()} == {again, only}
    assert set(instance.get_materialized_partitions(KEY)) == {"2026-02-01", "2026-02-02"}
    assert not list(Path(instance.root_directory).rglob(f"{first}*"))


def test_a_run_that_is_not_over_stays(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(made_job)
    assert old_runs(instance, datetime.now(UTC)) == []
    instance.report_run_failed(run)
    assert old_runs(instance, datetime.now(UTC)) == [run.run_id]


@dg.job
def made_job() -> None:
    pass


def test_the_nightly_job_says_what_it_removed(
    fresh_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_platform.defs.housekeeping.settings", lambda: fresh_settings)
    run = housekeeping.execute_in_process(instance=instance)
    said = [entry.user_message for entry in instance.all_logs(run.run_id) if not entry.is_dagster_event]
    assert said == [f"0 {what} removed: none" for what in ("files of the lake", "stage folders", "runs")]


def test_leftovers_go_and_nothing_else(fresh_settings: Settings, instance: dg.DagsterInstance) -> None:
    lake = Lake(fresh_settings.lake)
    day = NOW.date()
    lake.write_day("crypto", "1Min", day, {"BTC/USD": Section(NOW, [])}, "run")
    kept = Path(lake.path("crypto", "1Min", day))
    left = kept.with_name(f".{kept.name}.{'a' * 32}.tmp")
    fresh = kept.with_name(f".{kept.name}.{'b' * 32}.tmp")
    lake.record_universe_day(UniverseDay("crypto", day, ("BTC/USD",), "members.csv", NOW))
    (members,) = Path(fresh_settings.lake).glob("crypto/universe/*.json")
    members_left = members.with_name(f".{members.name}.{'e' * 32}.tmp")
    for path in (left, fresh, members_left):
        path.write_text("half")
    for path in (left, kept, members, members_left):
        os.utime(path, (0, 0))
    stage = Path(fresh_settings.stage) / "crypto"
    for name in (f"20200101T000000_{'c' * 12}", f"{NOW:%Y%m%dT%H%M%S}_{'d' * 12}"):
        (stage / name).mkdir(parents=True)

    removed = clean(fresh_settings, instance, NOW)
    assert sorted(removed.lake) == sorted([left.name, members_left.name])
    assert (removed.stage, removed.runs) == ([f"20200101T000000_{'c' * 12}"], [])
    assert kept.exists()
    assert members.exists()
    assert fresh.exists()
    assert len(list(stage.iterdir())) == 1
    assert clean(fresh_settings, instance, NOW).lake == []
