"""What dbt's failing tests tell a person: how many rows, what they break, and how to see them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from crypto_platform.orchestration.dbt.translator import meaning
from crypto_platform.transform.project import manifest

# Statuses of what did not fail; what is skipped waits for something that did.
_WELL = {"success", "pass", "warn", "skipped", "no-op"}


class TestsFailedError(RuntimeError):
    """dbt failed because of tests alone, and each of them was reported as a check."""

    # For pytest, it is no test.
    __test__ = False


class NotBuiltError(RuntimeError):
    """dbt could not build something; says what, and in dbt's words why."""


def explained(events: Iterable[Any], target: Path) -> Iterator[Any]:
    """dbt's events of a run; results of tests that fail say what fails. `target` is the run's folder.

    Raises:
        TestsFailedError, NotBuiltError: in place of dagster-dbt's error, which says how dbt was called.
        DagsterDbtCliRuntimeError: dbt ended without saying what failed.
    """
    told: set[str] = set()
    try:
        for event in events:
            if isinstance(event, dg.AssetCheckResult) and not event.passed:
                told.add(str(event.metadata["unique_id"].value))
                yield _explained(event, target)
            else:
                yield event
    except DagsterDbtCliRuntimeError:
        failed = _failed(target)
        if not failed:
            raise
        said = {node: f"{node}: {' '.join(why.split())}" for node, why in failed.items()}
        if failed.keys() <= told:
            raise TestsFailedError("\n".join(said.values())) from None
        untold = [words for node, words in said.items() if node not in told]
        raise NotBuiltError("\n".join([*untold, f"dbt's log is {target / 'dbt.log'}"])) from None


def _failed(target: Path) -> dict[str, str]:
    """What failed in the run, by unique id, and why."""
    try:
        results = orjson.loads((target / "run_results.json").read_bytes())["results"]
    except FileNotFoundError:
        return {}
    return {node["unique_id"]: node["message"] or node["status"] for node in results if node["status"] not in _WELL}


def _explained(result: dg.AssetCheckResult, target: Path) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(result.metadata)
    nodes: Any = manifest()["nodes"]
    test = nodes[metadata["unique_id"].value]
    rows = metadata.get("dagster_dbt/failed_row_count")
    # A generic test's SQL lies under the file that asks for it, another where it was written.
    generic = [test["path"]] if "test_metadata" in test else []
    compiled = target.joinpath("compiled", test["package_name"], test["original_file_path"], *generic)
    metadata["remediation"] = f'crypto-platform sql "$(cat {compiled})"'
    return dg.AssetCheckResult(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=False,
        severity=result.severity,
        description=f"{f'{rows.value:,} rows fail' if rows else 'dbt could not run it'}: {meaning(test)}",
        metadata=metadata,
    )
