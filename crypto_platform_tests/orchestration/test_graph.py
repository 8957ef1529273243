"""The asset graph as one readable picture, `graph.txt` beside this file.

After an intended change: `python -m crypto_platform_tests.orchestration.test_graph`, and read the difference before you
commit it.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.declarative_automation.operators import EntityMatchesCondition
from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy

from crypto_platform.definitions import defs
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.partitions import daily, daily_of_all

DASHBOARDS = dg.AssetKey(["superset", "market_dashboard"])
PICTURE = Path(__file__).parent / "graph.txt"


def picture(definitions: dg.Definitions) -> str:
    """A paragraph an asset: key, group, partitions, pool, freshness, what it follows by itself, upstream assets and
    checks; then what no step of its own makes, the jobs' assets, schedules and sensors."""
    return "\n".join([*_assets(definitions), *_observed(definitions), *_jobs(definitions), *_ticking(definitions)])


def _observed(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.external_asset_keys):
        parents = ", ".join(parent.to_user_string() for parent in sorted(graph.get(key).parent_keys))
        yield f"{key.to_user_string()}, written by {parents or 'nobody'}"
    yield ""


def _assets(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.materializable_asset_keys):
        node = graph.get(key)
        policy = node.backfill_policy
        yield key.to_user_string()
        owned = ", ".join(node.owners) or "nobody"
        yield f"    group {node.group_name}; kinds {', '.join(sorted(node.kinds))}; owned by {owned}"
        yield (
            f"    partitions {node.partitions_def or 'none'}; "
            f"backfills {policy.policy_type.value.lower() if policy else 'run by run'}; "
            f"pool {', '.join(sorted(node.pools)) or 'none'}"
        )
        yield f"    fresh when materialised {_freshness(node.freshness_policy)}"
        if node.automation_condition:
            yield f"    follows {', '.join(sorted(_followed(node.automation_condition)))}"
        yield from (f"    from {parent.to_user_string()}" for parent in sorted(node.parent_keys))
        for check in sorted(node.check_keys):
            kind = "blocking check" if graph.get(check).blocking else "check that warns"
            yield f"    {kind} {check.name}"
        yield ""


def _freshness(policy: dg.FreshnessPolicy | None) -> str:
    if isinstance(policy, CronFreshnessPolicy):
        within = policy.lower_bound_delta
        return f"by `{policy.deadline_cron}` {policy.timezone}, within {within} before it"
    if isinstance(policy, TimeWindowFreshnessPolicy):
        return f"in the last {policy.fail_window.to_timedelta()}"
    return "at any time"


def _followed(condition: dg.AutomationCondition) -> set[str]:
    """The assets whose updates the condition looks at."""
    below = {key for child in condition.children for key in _followed(child)}
    return {condition.key.to_user_string()} | below if isinstance(condition, EntityMatchesCondition) else below


def _ticking(definitions: dg.Definitions) -> Iterator[str]:
    repository = definitions.get_repository_def()
    for schedule in sorted(repository.schedule_defs, key=lambda s: s.name):
        yield f"schedule {schedule.name} ({schedule.default_status.value.lower()})"
        yield f"    job {schedule.job_name} at {schedule.cron_schedule} {schedule.execution_timezone}"
        yield ""
    for sensor in sorted(repository.sensor_defs, key=lambda s: s.name):
        yield f"sensor {sensor.name} ({sensor.default_status.value.lower()})"
        yield f"    every {sensor.minimum_interval_seconds} s"
        yield ""


def _jobs(definitions: dg.Definitions) -> Iterator[str]:
    everything = definitions.resolve_asset_graph().materializable_asset_keys
    for name in sorted(feeds()):
        job = definitions.resolve_job_def(name)
        selected = job.asset_layer.selected_asset_keys
        yield f"job {name} ({job.executor_def.name}): everything but"
        yield from (f"    {key.to_user_string()}" for key in sorted(everything - selected))
        yield ""


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def test_the_asset_graph_is_as_pictured(definitions: dg.Definitions) -> None:
    assert picture(definitions) == PICTURE.read_text(), f"see {Path(__file__).name} for how to draw it anew"


def test_the_code_server_can_tell_of_every_job(definitions: dg.Definitions) -> None:
    """It refuses a name that is an op's in one place and a job's in another."""
    assert {job.name for job in definitions.get_repository_def().get_all_jobs()} >= set(feeds())


def test_whatever_is_materialised_a_range_of_days_is_one_run(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    # The dashboards are of their code, not of a day.
    for key in graph.materializable_asset_keys - {DASHBOARDS}:
        node = graph.get(key)
        spec = feeds().get(node.group_name or "")
        assert node.partitions_def == (daily(spec) if spec else daily_of_all()), key
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), key
        assert node.pools, key


def test_a_feeds_days_begin_with_it_and_dbts_with_the_earliest() -> None:
    firsts = {name: daily(spec).get_first_partition_key() for name, spec in feeds().items()}
    assert firsts == {"crypto": "2025-01-01", "us_equity": "2025-01-01", "us_equity_daily": "1998-01-02"}
    assert daily_of_all().get_first_partition_key() == "1998-01-02"


def test_the_dashboards_are_of_no_day_and_in_no_job(definitions: dg.Definitions) -> None:
    node = definitions.resolve_asset_graph().get(DASHBOARDS)
    assert node.partitions_def is None
    assert node.pools == {"superset"}
    for feed in feeds():
        assert DASHBOARDS not in definitions.resolve_job_def(feed).asset_layer.selected_asset_keys


def test_checks_are_of_the_whole_range(definitions: dg.Definitions) -> None:
    """Of a run over a range of days Dagster records checks without a partition: others would show as skipped."""
    graph = definitions.resolve_asset_graph()
    for key in graph.asset_check_keys:
        assert graph.get(key).partitions_def is None, key
        assert graph.get(key).description, key


def test_every_asset_is_found_by_owner_description_and_columns(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.owners, key
        assert node.description, key
        if key == DASHBOARDS:
            continue
        schema = node.metadata.get("dagster/column_schema")
        assert isinstance(schema, dg.TableSchema), key
        assert [column.name for column in schema.columns if not column.description] == [], key
        if key.path[0] not in ("alpaca", "kafka"):
            assert node.metadata.get("dagster/table_name"), key


def test_runs_of_jobs_and_of_single_assets_share_a_process(definitions: dg.Definitions) -> None:
    jobs = [definitions.resolve_implicit_global_asset_job_def(), *map(definitions.resolve_job_def, feeds())]
    assert {job.executor_def.name for job in jobs} == {"in_process"}


if __name__ == "__main__":
    PICTURE.write_text(picture(defs()))
