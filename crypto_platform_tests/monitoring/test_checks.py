"""Failed checks become alerts, blocking or not, and recover when they pass over the same days."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg
import pytest

from crypto_platform.alerting.alert import Severity
from crypto_platform.monitoring import checks
from crypto_platform.transform.project import manifest
from crypto_platform_tests.monitoring.conftest import RAW, Pipeline, Watched


@pytest.fixture
def look(instance: dg.DagsterInstance, watched: Watched) -> Callable[[], list[str]]:
    def titles() -> list[str]:
        checks.watch(instance, watched.manager, watched.settings, watched.clock())
        return watched.titles()

    return titles


def test_failed_checks_are_told_blocking_or_not(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.failing = {"blocks", "warns"}
    pipeline.run(instance, "2026-03-01", "2026-03-02")
    assert look() == [
        "ERROR: check blocks of raw/crypto_bars failed · crypto, [2026-03-01, 2026-03-03)",
        "WARNING: check warns of raw/crypto_bars failed · crypto, [2026-03-01, 2026-03-03)",
    ]
    blocks, warns = watched.open()
    assert (blocks.cause, warns.cause) == ("twice: 3", "it looks odd")
    assert blocks.impact == "what follows in the run was not made"
    assert blocks.link == "http://127.0.0.1:3000/assets/raw/crypto_bars?view=checks&checkDetail=blocks"
    assert blocks.remediation == "crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-03-03"
    assert look() == []


def test_a_stage_s_check_recovers_when_it_passes_over_the_days_that_failed(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.failing = {"warns"}
    pipeline.run(instance, "2026-03-01", "2026-03-02")
    assert len(look()) == 1
    pipeline.failing = set()
    pipeline.run(instance, "2026-03-02", "2026-03-05")
    assert look() == []
    pipeline.run(instance, "2026-02-27", "2026-03-02")
    assert [title[:8] for title in look()] == ["RESOLVED"]
    assert look() == []


def dbt_test(in_window: bool) -> str:
    nodes: dict = manifest()["nodes"]  # type: ignore[assignment]
    return next(
        name
        for name, node in nodes.items()
        if node["resource_type"] == "test" and (node["config"].get("where") == "__in_window__") is in_window
    )


@pytest.mark.slow
@pytest.mark.parametrize("test", [dbt_test(in_window=True), "test.crypto_platform.gone"])
def test_a_dbt_test_that_sees_the_run_s_days_recovers_over_these(
    test: str, instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.dbt_test, pipeline.failing = test, {"warns"}
    pipeline.run(instance, "2026-03-01")
    pipeline.run(instance, "2026-03-02")
    assert len(look()) == 2
    pipeline.failing = set()
    pipeline.run(instance, "2026-03-02")
    assert [title[:8] for title in look()] == ["RESOLVED"]
    assert [alert.partitions for alert in watched.open()] == ["2026-03-01"]
    pipeline.run(instance, "2026-03-01")
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_dbt_test_that_sees_the_run_s_days_and_failed_over_all_does_not_recover_over_one(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    unique_id = dbt_test(in_window=True)

    def report(passed: bool) -> None:
        evaluation = dg.AssetCheckEvaluation(RAW, "warns", passed, {"unique_id": unique_id})
        instance.report_runless_asset_event(evaluation)

    report(passed=False)
    assert len(look()) == 1
    pipeline.dbt_test = unique_id
    pipeline.run(instance, "2026-03-02")
    assert look() == []
    report(passed=True)
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_a_dbt_test_that_sees_the_whole_table_is_one_alert_until_it_passes(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.dbt_test, pipeline.failing = dbt_test(in_window=False), {"warns"}
    pipeline.run(instance, "2026-03-01")
    assert look() == ["WARNING: check warns of raw/crypto_bars failed · crypto"]
    pipeline.run(instance, "2026-03-02")
    assert look() == []
    pipeline.failing = set()
    pipeline.run(instance, "2026-03-03")
    assert [title[:8] for title in look()] == ["RESOLVED"]
    assert watched.open() == []


def test_what_failed_and_passed_between_two_looks_is_not_missed(
    instance: dg.DagsterInstance, watched: Watched, pipeline: Pipeline, look: Callable[[], list[str]]
) -> None:
    pipeline.failing = {"warns"}
    pipeline.run(instance, "2026-03-01")
    pipeline.failing = set()
    pipeline.run(instance, "2026-03-02")
    assert look() == ["WARNING: check warns of raw/crypto_bars failed · crypto, 2026-03-01"]


def test_an_evaluation_without_a_run_is_told_with_the_command_that_it_gives(
    instance: dg.DagsterInstance, watched: Watched, look: Callable[[], list[str]]
) -> None:
    remediation = "crypto-platform materialize --feed crypto --from 2026-03-27 --to 2026-03-29"

    def report(passed: bool) -> None:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=RAW,
                check_name="is_fresh",
                passed=passed,
                metadata={"feed": "crypto", "expected_day": "2026-03-28", "remediation": remediation},
                severity=dg.AssetCheckSeverity.ERROR,
                description="2026-03-28 is not materialised",
            )
        )

    report(passed=False)
    assert look() == ["ERROR: check is_fresh of raw/crypto_bars failed · crypto, 2026-03-28"]
    [alert] = watched.open()
    assert (alert.kind, alert.remediation, alert.severity) == ("freshness check", remediation, Severity.ERROR)
    assert alert.started_at <= datetime.now(UTC)
    report(passed=False)
    assert look() == []
    report(passed=True)
    assert [title[:8] for title in look()] == ["RESOLVED"]
