"""Failed runs and backfills become alerts, and recover when what they were to make is there."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemotePartitionSetOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG, WILL_RETRY_TAG
from dagster._utils.error import SerializableErrorInfo
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from crypto_platform.monitoring import checks, runs
from crypto_platform.orchestration.dbt.results import TestsFailedError
from crypto_platform_tests.monitoring.conftest import DAILY, KAFKA, RAW, Pipeline, Watched


@pytest.fixture
def look(instance: dg.DagsterInstance, watched: Watched) -> Callable[[], list[str]]:
    def titles() -> list[str]:
        runs.watch(instance, watched.manager, watched.settings, watched.clock())
        runs.watch_backfills(instance, watched.manager, watched.settings, watched.clock())
        return watched.titles()

    return titles


def test_a_failed_run_is_told_with_what_mends_it(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "kafka"
    run = pipeline.run(instance, "2026-03-01", "2026-03-03")
    assert look() == ["ERROR: the run of crypto failed at kafka__crypto_bars_topic · crypto, [2026-03-01, 2026-03-04)"]
    [alert] = watched.open()
    assert alert.cause == f"RuntimeError: {pipeline.error}"
    assert alert.impact == "not made: kafka/crypto_bars_topic, marts, raw/crypto_bars"
    assert alert.link == f"http://127.0.0.1:3000/runs/{run}"
    assert alert.remediation == "crypto-platform republish --feed crypto"
    assert alert.data_source == "simulated"
    assert look() == []


def test_without_a_command_in_the_error_the_range_is_run_again(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken, pipeline.error = "kafka", "no"
    pipeline.run(instance, "2026-03-01")
    look()
    [alert] = watched.open()
    assert alert.partitions == "2026-03-01"
    assert alert.remediation == "crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-03-02"


@pytest.mark.slow
def test_it_recovers_when_every_day_was_made_whoever_made_them(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.run(instance, "2026-03-01", "2026-03-03")
    pipeline.broken = "kafka"
    pipeline.run(instance, "2026-03-01", "2026-03-03")
    assert len(look()) == 1
    pipeline.broken = ""
    pipeline.run(instance, "2026-03-01", "2026-03-02")
    assert look() == []
    pipeline.run(instance, "2026-03-03", only=[KAFKA, RAW])
    assert look() == []
    pipeline.run(instance, "2026-03-03", only=[dg.AssetKey("marts")])
    [told] = look()
    assert told.startswith("RESOLVED after")


def test_the_same_days_failing_again_are_one_alert(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "kafka"
    pipeline.run(instance, "2026-03-01")
    assert len(look()) == 1
    pipeline.run(instance, "2026-03-01")
    assert look() == []
    pipeline.run(instance, "2026-03-02")
    assert len(look()) == 1


def test_what_is_mended_before_anybody_looked_is_not_told(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "kafka"
    pipeline.run(instance, "2026-03-01")
    pipeline.broken = ""
    pipeline.run(instance, "2026-03-01")
    assert look() == []


def test_a_job_without_assets_recovers_when_it_runs_well(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "sweep"
    pipeline.run(instance, job="housekeeping")
    assert look() == ["ERROR: the run of housekeeping failed at sweep"]
    pipeline.broken = ""
    pipeline.run(instance, job="housekeeping")
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_run_that_dagster_repeats_is_a_warning_until_that_fails_too(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "kafka"
    run = pipeline.run(instance, "2026-03-01")
    instance.add_run_tags(run, {WILL_RETRY_TAG: "true"})
    assert [title.split(":")[0] for title in look()] == ["WARNING"]
    assert watched.open()[0].impact == "Dagster runs it once more by itself"
    pipeline.run(instance, "2026-03-01")
    assert [title.split(":")[0] for title in look()] == ["ERROR, escalated"]


def test_a_run_that_ends_at_a_blocking_check_is_told_as_the_check(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.failing = {"blocks"}
    pipeline.run(instance, "2026-03-01")
    assert look() == []


def run_of_two(instance: dg.DagsterInstance, error: Exception | None) -> None:
    """A run of a step that a failed test of dbt ends, and of another that raises the error or ends at a check."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("looks_good", asset="first")])
    def first() -> Iterator[Any]:
        yield dg.AssetCheckResult(passed=False)
        raise TestsFailedError("test.looks_good")

    @dg.asset(check_specs=[dg.AssetCheckSpec("adds_up", asset="second", blocking=True)])
    def second() -> dg.MaterializeResult:
        if error:
            raise error
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False)])

    defs = dg.Definitions(assets=[first, second], jobs=[dg.define_asset_job("both")], executor=dg.in_process_executor)
    assert not defs.resolve_job_def("both").execute_in_process(instance=instance, raise_on_error=False).success


def test_a_run_whose_steps_all_end_at_checks_is_told_as_these(
    instance: dg.DagsterInstance, watched: Watched, look: Callable[[], list[str]]
) -> None:
    run_of_two(instance, None)
    assert look() == []
    checks.watch(instance, watched.manager, watched.settings, watched.clock())
    assert [title.split()[2] for title in watched.titles()] == ["looks_good", "adds_up"]


def test_a_check_that_ends_a_step_hides_no_error_of_another(
    instance: dg.DagsterInstance, watched: Watched, look: Callable[[], list[str]]
) -> None:
    run_of_two(instance, RuntimeError("no broom: crypto-platform doctor"))
    assert look() == ["ERROR: the run of both failed at second"]
    [alert] = watched.open()
    assert (alert.cause, alert.remediation) == (
        "RuntimeError: no broom: crypto-platform doctor",
        "crypto-platform doctor",
    )


def test_of_dbt_s_own_error_its_words_are_the_cause(
    instance: dg.DagsterInstance, watched: Watched, look: Callable[[], list[str]]
) -> None:
    called = "The dbt CLI process with command\n\n`dbt build`\n\nfailed with exit code `2`."
    said = "Errors parsed from dbt logs:\n\nEncountered an error:\n\nCompilation Error\n  no macro"
    run_of_two(instance, DagsterDbtCliRuntimeError(description=f"{called}\n\n{said}"))
    look()
    assert watched.open()[0].cause == "Encountered an error: Compilation Error no macro"


def test_a_cancelled_run_is_no_failure(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    run = instance.create_run_for_job(pipeline.definitions().resolve_job_def("housekeeping"))
    instance.report_run_canceled(run)
    assert look() == []


def test_a_run_that_the_monitoring_gave_up_is_told(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    run = instance.create_run_for_job(pipeline.definitions().resolve_job_def("housekeeping"))
    instance.report_run_failed(run, "The process that executed this run is gone.")
    instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
    assert look() == ["ERROR: the run of housekeeping failed"]
    assert watched.open()[0].cause == "The process that executed this run is gone."


def backfill(status: BulkActionStatus, **fields: object) -> PartitionBackfill:
    given = {
        "backfill_id": "abcdefgh",
        "status": status,
        "from_failure": False,
        "tags": {},
        "backfill_timestamp": datetime.now(UTC).timestamp(),
        "asset_selection": [KAFKA],
        "partition_names": ["2026-03-01", "2026-03-02"],
        **fields,
    }
    return PartitionBackfill(**given)  # type: ignore[arg-type]


def test_a_backfill_that_cannot_go_on_is_told_until_its_days_are_there(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    instance.add_backfill(backfill(BulkActionStatus.REQUESTED))
    assert look() == []
    error = SerializableErrorInfo("the code location is gone\nand more", [], None)
    instance.update_backfill(backfill(BulkActionStatus.FAILED, error=error))
    assert look() == ["ERROR: backfill abcdefgh failed · crypto, [2026-03-01, 2026-03-03)"]
    [alert] = watched.open()
    assert alert.cause == "the code location is gone"
    assert alert.link.endswith("/runs/b/abcdefgh")
    assert alert.remediation == "crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-03-03"
    pipeline.run(instance, "2026-03-01")
    assert look() == []
    pipeline.run(instance, "2026-03-02")
    assert [title[:8] for title in look()] == ["RESOLVED"]
    assert look() == []


def test_a_backfill_whose_run_failed_is_told_with_it(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.broken = "kafka"
    pipeline.run(instance, "2026-03-01", "2026-03-02", **{BACKFILL_ID_TAG: "abcdefgh"})
    instance.add_backfill(backfill(BulkActionStatus.COMPLETED_FAILED))
    assert sorted(title.split(" · ")[0] for title in look()) == [
        "ERROR: backfill abcdefgh failed",
        "ERROR: the run of crypto failed at kafka__crypto_bars_topic",
    ]
    assert {alert.impact.split("; ")[-1] for alert in watched.open()} == {
        "part of backfill abcdefgh",
        "1 of its 1 runs failed",
    }


def job_backfill(job: str, status: BulkActionStatus = BulkActionStatus.COMPLETED_FAILED) -> PartitionBackfill:
    location = GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name="crypto_platform")
    origin = RemotePartitionSetOrigin(
        repository_origin=RemoteRepositoryOrigin(location, "__repository__"),
        partition_set_name=f"{job}_partition_set",
    )
    return backfill(status, asset_selection=None, partition_set_origin=origin)


@pytest.mark.slow
def test_a_backfill_of_a_job_recovers_when_its_days_were_made(
    instance: dg.DagsterInstance, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    instance.add_backfill(job_backfill("crypto"))
    pipeline.run(instance, "2026-03-01", **{BACKFILL_ID_TAG: "abcdefgh"})
    pipeline.broken = "kafka"
    pipeline.run(instance, "2026-03-02", **{BACKFILL_ID_TAG: "abcdefgh"})
    assert sorted(title.split(" ")[1] for title in look()) == ["backfill", "the"]
    pipeline.broken = ""
    pipeline.run(instance, "2026-03-02", only=[KAFKA, RAW])
    assert look() == []
    pipeline.run(instance, "2026-03-02", only=[dg.AssetKey("marts")])
    assert [title[:8] for title in look()] == ["RESOLVED", "RESOLVED"]


def test_a_backfill_of_a_job_without_assets_recovers_when_it_ran_over_the_days(
    instance: dg.DagsterInstance, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    instance.add_backfill(job_backfill("housekeeping", BulkActionStatus.FAILED))
    assert look() == ["ERROR: backfill abcdefgh failed · [2026-03-01, 2026-03-03)"]
    pipeline.run(instance, "2026-03-01", job="housekeeping")
    assert look() == []
    pipeline.run(instance, "2026-03-02", job="housekeeping")
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_backfill_of_some_days_recovers_when_these_were_made(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    began = datetime.now(UTC).timestamp()
    marts = dg.AssetKey("marts")
    wanted = {KAFKA: ["2026-03-01", "2026-03-04"], RAW: ["2026-03-04"]}
    target = AssetGraphSubset(
        {key: DAILY.empty_subset().with_partition_keys(days) for key, days in wanted.items()}, {marts}
    )
    data = AssetBackfillData.empty(target, began, instance)
    instance.add_backfill(
        backfill(BulkActionStatus.FAILED, partition_names=None, asset_backfill_data=data, backfill_timestamp=began)
    )
    assert look() == ["ERROR: backfill abcdefgh failed · crypto, [2026-03-01, 2026-03-05)"]
    assert watched.open()[0].remediation.endswith("--from 2026-03-01 --to 2026-03-05")
    pipeline.run(instance, "2026-03-01", only=[KAFKA])
    pipeline.run(instance, "2026-03-04", only=[KAFKA, RAW])
    assert look() == []
    instance.report_runless_asset_event(dg.AssetMaterialization(marts))
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_backfill_that_is_mended_before_anybody_looked_is_not_told(
    instance: dg.DagsterInstance, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    instance.add_backfill(backfill(BulkActionStatus.COMPLETED_FAILED))
    pipeline.run(instance, "2026-03-01", "2026-03-02")
    assert look() == []
