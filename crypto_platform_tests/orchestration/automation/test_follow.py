"""What follows a stage, evaluated by Dagster itself over the whole asset graph."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import dagster as dg
import pytest

from crypto_platform.dagster_instance.run_days import range_tags
from crypto_platform.definitions import defs
from crypto_platform.market.day_ranges import days_in
from crypto_platform.orchestration.asset_keys import stage_key

OLD = (date(2025, 5, 5), date(2025, 5, 8))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


class Ticks:
    """The sensor's ticks one after another over an instance; each says which days of which assets it asks for."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance = definitions, instance
        self.cursor: Any = None

    def tick(self) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            subset.key.to_user_string(): {str(key) for key in subset.expensively_compute_partition_keys()}
            for r in result.results
            if not (subset := r.true_subset).is_empty
        }

    def run(self, keys: Iterable[dg.AssetKey], days: tuple[date, date]) -> dg.DagsterRun:
        """A run over these assets and days, begun."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        run = self.instance.create_run_for_job(job, asset_selection=frozenset(keys), tags=range_tags(days))
        self.instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id
        )
        return run

    def materialise(self, run: dg.DagsterRun, key: dg.AssetKey, days: tuple[date, date]) -> None:
        from dagster._core.events import StepMaterializationData

        for day in days_in(days):
            data = StepMaterializationData(dg.AssetMaterialization(key, partition=day.isoformat()))
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
            self.instance.report_dagster_event(
                dg.DagsterEvent(kind, run.job_name, event_specific_data=data), run.run_id
            )

    def end(self, run: dg.DagsterRun, kind: dg.DagsterEventType = dg.DagsterEventType.RUN_SUCCESS) -> None:
        self.instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name), run.run_id)


@pytest.fixture
def ticks(definitions: dg.Definitions) -> Iterator[Ticks]:
    with dg.instance_for_test() as instance:
        found = Ticks(definitions, instance)
        assert found.tick() == {}
        yield found


def days(of: tuple[date, date] = OLD) -> set[str]:
    return {day.isoformat() for day in days_in(of)}


def dbt_assets(definitions: dg.Definitions) -> set[str]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string() for key in graph.materializable_asset_keys if "dbt" in graph.get(key).kinds}


def alone(ticks: Ticks, key: dg.AssetKey) -> None:
    run = ticks.run([key], OLD)
    ticks.materialise(run, key, OLD)
    ticks.end(run)


@pytest.mark.slow
def test_an_old_day_of_the_first_stage_is_followed_by_the_others_and_then_by_dbt(ticks: Ticks) -> None:
    alone(ticks, stage_key("crypto", "alpaca"))
    stages = [stage_key("crypto", stage) for stage in ("kafka", "raw")]
    # All days in the one tick; dbt has other partitions, so that its run is another, which waits for this one.
    assert ticks.tick() == {key.to_user_string(): days() for key in stages}
    run = ticks.run(stages, OLD)
    ticks.materialise(run, stages[0], OLD)
    assert ticks.tick() == {}
    ticks.materialise(run, stages[1], OLD)
    ticks.end(run)
    # All models, though the other feeds have none of these days.
    assert ticks.tick() == dict.fromkeys(dbt_assets(ticks.definitions), days())
    assert ticks.tick() == {}


@pytest.mark.slow
def test_days_before_other_feeds_began_are_followed_as_well(ticks: Ticks) -> None:
    of_1998 = (date(1998, 1, 2), date(1998, 1, 5))
    raw = stage_key("us_equity_daily", "raw")
    run = ticks.run([stage_key("us_equity_daily", stage) for stage in ("alpaca", "kafka", "raw")], of_1998)
    ticks.materialise(run, raw, of_1998)
    ticks.end(run)
    assert ticks.tick() == dict.fromkeys(dbt_assets(ticks.definitions), days(of_1998))
    assert ticks.tick() == {}


@pytest.mark.slow
def test_what_another_program_loaded_is_followed_by_dbt(ticks: Ticks) -> None:
    key = stage_key("us_equity", "raw")
    ticks.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2025-05-05"))
    assert ticks.tick() == {key: {"2025-05-05"} for key in dbt_assets(ticks.definitions)}
    assert ticks.tick() == {}


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_run_of_everything_is_not_followed_whatever_its_end(ticks: Ticks, fails: bool) -> None:
    stages = [stage_key("crypto", stage) for stage in ("alpaca", "kafka", "raw")]
    models = [dg.AssetKey(key.split("/")) for key in dbt_assets(ticks.definitions)]
    run = ticks.run([*stages, *models], OLD)
    for key in stages[:2]:
        ticks.materialise(run, key, OLD)
        assert ticks.tick() == {}
    if fails:
        ticks.end(run, dg.DagsterEventType.RUN_FAILURE)
    else:
        for key in (stages[2], *models):
            ticks.materialise(run, key, OLD)
        ticks.end(run)
    assert ticks.tick() == {}
    assert ticks.tick() == {}


@pytest.mark.slow
def test_while_a_stage_is_busy_what_follows_waits(ticks: Ticks) -> None:
    alpaca, kafka = stage_key("crypto", "alpaca"), stage_key("crypto", "kafka")
    run = ticks.run([alpaca, kafka], OLD)
    ticks.materialise(run, alpaca, OLD)
    assert ticks.tick() == {}
    ticks.materialise(run, kafka, OLD)
    ticks.end(run)
    assert ticks.tick() == {"raw/crypto_bars": days()}
    assert ticks.tick() == {}
