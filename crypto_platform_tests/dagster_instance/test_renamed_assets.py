"""A home of 0.1.0, whose assets had other keys."""

import dagster as dg
import pytest

from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.definitions import defs
from crypto_platform.orchestration.asset_keys import STAGES, stage_key
from crypto_platform.settings import Settings

DAYS = ["2026-03-01", "2026-03-02"]


def materialise(instance: dg.DagsterInstance, key: dg.AssetKey) -> None:
    for day in DAYS:
        event = dg.AssetMaterialization(key, partition=day, metadata={"bar_count": 1440}, tags={"source": "test"})
        instance.report_runless_asset_event(event)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(check_name="any", passed=True, metadata={}, asset_key=key)
    )


@pytest.fixture
def home_of_before(fresh_settings: Settings) -> Settings:
    """With days of each feed's stages under the keys of 0.1.0."""
    home = dagster_home(fresh_settings)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for stage in STAGES:
            for feed in ("crypto", "us_equity"):
                materialise(instance, dg.AssetKey([stage, f"{feed}_bars"]))
    assert not (home / ".assets-renamed").exists()
    return fresh_settings


def test_what_was_materialised_still_is(home_of_before: Settings) -> None:
    for _ in range(2):
        with dg.DagsterInstance.from_config(str(dagster_home(home_of_before))) as instance:
            keys = {stage_key(feed, stage) for feed in ("crypto", "us_equity") for stage in STAGES}
            assert set(instance.all_asset_keys()) == keys
            for key in keys:
                assert instance.get_materialized_partitions(key) == set(DAYS)
                last = instance.get_latest_materialization_event(key)
                assert last
                assert last.asset_materialization
                assert last.asset_materialization.asset_key == key
                assert last.asset_materialization.metadata["bar_count"].value == 1440
                checks = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key, "any"), 5)
                assert len(checks) == 1


@pytest.mark.slow
def test_nothing_follows_what_was_there_before(home_of_before: Settings) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home(home_of_before))) as instance:
        cursor = None
        for _ in range(2):
            result = dg.evaluate_automation_conditions(defs(), instance, cursor=cursor)
            cursor = result.cursor
            assert [r.key for r in result.results if not r.true_subset.is_empty] == []
