"""The code location of the drill: the project's, and an asset, a job and a sensor that fail when a file asks for it."""

import time
from datetime import timedelta
from pathlib import Path

import dagster as dg

from crypto_platform import definitions as project
from crypto_platform.orchestration.partitions import daily_of_all
from crypto_platform.settings import Settings, settings

LEDGER, PULSE = dg.AssetKey(["drill", "ledger"]), dg.AssetKey(["drill", "pulse"])
SENSOR, JOB = "drill_listens", "drill_sweep"
HANG_SECONDS = 600
# The least that Dagster takes.
PULSE_LASTS = timedelta(seconds=60)


def fault_file(settings: Settings, name: str) -> Path:
    """As long as this file is there, the part of that name is broken."""
    return settings.crypto_platform_home / "drill" / name


def _is_broken(name: str) -> bool:
    return fault_file(settings(), name).exists()


@dg.definitions
def defs() -> dg.Definitions:
    checks = [
        dg.AssetCheckSpec("adds_up", asset=LEDGER, blocking=True, description="Its sums agree."),
        dg.AssetCheckSpec("looks_usual", asset=LEDGER, description="Its figures are within their usual range."),
    ]

    @dg.asset(
        key=LEDGER,
        group_name="drill",
        partitions_def=daily_of_all(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=checks,
    )
    def ledger(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        days = context.partition_keys

        def broken(name: str) -> bool:
            return any(_is_broken(f"{name} {day}") for day in days)

        if broken("run"):
            raise RuntimeError("the ledger is torn")
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(check_name="adds_up", passed=not broken("blocking check")),
                dg.AssetCheckResult(
                    check_name="looks_usual",
                    passed=not broken("check"),
                    severity=dg.AssetCheckSeverity.WARN,
                    description="3 figures are ten times their usual" if broken("check") else None,
                ),
            ]
        )

    @dg.asset(key=PULSE, group_name="drill", freshness_policy=dg.FreshnessPolicy.time_window(fail_window=PULSE_LASTS))
    def pulse() -> None:
        """Late a minute after it was made."""

    @dg.op
    def sweep() -> None:
        until = time.monotonic() + HANG_SECONDS
        while _is_broken("worker") and time.monotonic() < until:
            time.sleep(0.5)

    @dg.job(name=JOB)
    def job() -> None:
        sweep()

    @dg.sensor(name=SENSOR, minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING)
    def listens() -> dg.SkipReason:
        if _is_broken("sensor"):
            raise RuntimeError("it hears nothing")
        return dg.SkipReason("all is quiet")

    own = dg.Definitions(assets=[ledger, pulse], jobs=[job], sensors=[listens], executor=dg.in_process_executor)
    return dg.Definitions.merge(project.defs(), own)
