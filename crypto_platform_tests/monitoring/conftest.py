"""An instance of Dagster's own with our event log, alerts whose clock a test moves, and a small pipeline that fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crypto_platform.alerting.alert import Alert
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.orchestration.asset_keys import stage_key
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.conftest import Clock, Memory

DAILY = dg.DailyPartitionsDefinition(start_date="2026-01-01")
KAFKA, RAW = stage_key("crypto", "kafka"), stage_key("crypto", "raw")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    overrides = {
        "run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False},
        "event_log_storage": {
            "module": "crypto_platform.dagster_instance.event_log_storage",
            "class": "CompactSqliteEventLogStorage",
            "config": {"base_dir": str(tmp_path / "runs")},
        },
    }
    with dg.instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as made:
        yield made


@dataclass
class Watched:
    """A manager and what it told."""

    settings: Settings
    clock: Clock
    memory: Memory
    manager: AlertManager

    def titles(self) -> list[str]:
        """What was told since the last time that this was asked."""
        self.clock.forward(61)
        self.manager.deliver()
        told = self.memory.titles
        self.memory.posts.clear()
        return told

    def open(self) -> list[Alert]:
        return [incident.alert for incident in self.manager.open()]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    settings = Settings(crypto_platform_home=tmp_path / "home", sandbox_simulated=True, alert_max_per_minute=100)
    clock = Clock(datetime.now(UTC) + timedelta(seconds=10))
    memory = Memory(clock)
    return Watched(settings, clock, memory, AlertManager(settings, clock, [memory]))


@dataclass
class Pipeline:
    """Two assets of a feed; what is set here fails or does not pass. `warns` may stand for a dbt test."""

    broken: str = ""
    error: str = "the topic is gone. Republish it from the lake: crypto-platform republish --feed crypto"
    failing: set[str] = field(default_factory=set)
    dbt_test: str = ""

    def definitions(self) -> dg.Definitions:
        checks = [
            dg.AssetCheckSpec("blocks", asset=RAW, blocking=True, description="Nothing is twice."),
            dg.AssetCheckSpec("warns", asset=RAW),
        ]

        ranged: dict[str, Any] = {"partitions_def": DAILY, "backfill_policy": dg.BackfillPolicy.single_run()}

        @dg.asset(key=KAFKA, **ranged)
        def kafka() -> dg.MaterializeResult:
            if self.broken == "kafka":
                raise RuntimeError(self.error)
            return dg.MaterializeResult()

        @dg.asset(key=RAW, deps=[KAFKA], check_specs=checks, **ranged)
        def raw() -> dg.MaterializeResult:
            return dg.MaterializeResult(
                check_results=[
                    dg.AssetCheckResult(
                        check_name="blocks", passed="blocks" not in self.failing, metadata={"twice": 3}
                    ),
                    dg.AssetCheckResult(
                        check_name="warns",
                        passed="warns" not in self.failing,
                        severity=dg.AssetCheckSeverity.WARN,
                        description="it looks odd",
                        metadata={"unique_id": self.dbt_test} if self.dbt_test else {},
                    ),
                ]
            )

        @dg.asset(deps=[RAW], **ranged)
        def marts() -> dg.MaterializeResult:
            return dg.MaterializeResult()

        @dg.op
        def sweep() -> None:
            if self.broken == "sweep":
                raise RuntimeError("no broom")

        @dg.job
        def housekeeping() -> None:
            sweep()

        return dg.Definitions(
            assets=[kafka, raw, marts],
            jobs=[dg.define_asset_job("crypto", selection="*"), housekeeping],
            executor=dg.in_process_executor,
        )

    def run(
        self,
        instance: dg.DagsterInstance,
        first: str = "",
        last: str = "",
        job: str = "crypto",
        only: list[dg.AssetKey] | None = None,
        **tags: str,
    ) -> str:
        """Run the job over the days, the last one included; its run id."""
        ranged = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        result = (
            self.definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                raise_on_error=False,
                asset_selection=only,
                tags={**(ranged if first else {}), **{k.replace("__", "/"): v for k, v in tags.items()}},
            )
        )
        return result.run_id


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()
