"""Dagster's event log: the storage of the embedded default beside those that Dagster ships with, over the same run."""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage, SqliteEventLogStorage

from crypto_platform.dagster_instance.event_log_storage import CompactSqliteEventLogStorage

FIRST_DAY = date(2020, 1, 1)
# Assets one after the other, each of every day, with a check, like a feed's stages and dbt's models.
ASSETS = 10
STORAGES = (CompactSqliteEventLogStorage, SqliteEventLogStorage, ConsolidatedSqliteEventLogStorage)


def event_log(days: int, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of a run that does nothing but materialise, medians by storage, and MB of what it wrote."""
    warnings.simplefilter("ignore", dg.BetaWarning)
    measured: dict[str, list[tuple[float, float]]] = {storage.__name__: [] for storage in STORAGES}
    for number in range(runs):
        for storage in STORAGES:
            tell(f"event log: {storage.__name__}, {number + 1} of {runs}")
            measured[storage.__name__].append(_run(storage, days))
    return {
        "days": days,
        "assets": ASSETS,
        "runs": runs,
        "storages": {
            name: {"seconds": median(s for s, _ in found), "megabytes": median(m for _, m in found)}
            for name, found in measured.items()
        },
    }


def _run(storage: type[Any], days: int) -> tuple[float, float]:
    assets = _assets(days)
    with _instance(storage) as (instance, folder):
        began = time.monotonic()
        dg.materialize(
            assets,
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": FIRST_DAY.isoformat(),
                "dagster/asset_partition_range_end": (FIRST_DAY + timedelta(days=days - 1)).isoformat(),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
        seconds = time.monotonic() - began
        return seconds, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _assets(days: int) -> list[dg.AssetsDefinition]:
    partitions = dg.DailyPartitionsDefinition(FIRST_DAY.isoformat(), (FIRST_DAY + timedelta(days=days)).isoformat())

    def asset(number: int) -> dg.AssetsDefinition:
        @dg.asset(
            name=f"asset_{number}",
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run(),
            deps=[f"asset_{number - 1}"] if number else [],
            check_specs=[dg.AssetCheckSpec("passes", asset=f"asset_{number}")],
        )
        def materialise() -> dg.MaterializeResult:
            return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="passes")])

        return materialise

    return [asset(number) for number in range(ASSETS)]


@contextmanager
def _instance(storage: type[Any]) -> Iterator[tuple[dg.DagsterInstance, Path]]:
    """A Dagster instance with that storage in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "dagster.yaml").write_text(
            f"telemetry: {{enabled: false}}\nevent_log_storage:\n  module: {storage.__module__}\n"
            f"  class: {storage.__name__}\n  config: {{base_dir: {folder / 'history'}}}\n"
        )
        with dg.DagsterInstance.from_config(name) as instance:
            yield instance, folder / "history"
