"""What dbt's failing tests tell a person: how many rows, what they break, and how to see them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_platform.transform.project import manifest
from crypto_platform.transform.translator import meaning


def explained(events: Iterable[Any], target: Path) -> Iterator[Any]:
    """dbt's events of a run; results of tests that fail say what fails. `target` is the run's folder."""
    for event in events:
        if isinstance(event, dg.AssetCheckResult) and not event.passed:
            yield _explained(event, target)
        else:
            yield event


def _explained(result: dg.AssetCheckResult, target: Path) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(result.metadata)
    nodes: Any = manifest()["nodes"]
    test = nodes[metadata["unique_id"].value]
    rows = metadata.get("dagster_dbt/failed_row_count")
    # A generic test's SQL lies under the file that asks for it, another where it was written.
    generic = [test["path"]] if "test_metadata" in test else []
    compiled = target.joinpath("compiled", test["package_name"], test["original_file_path"], *generic)
    metadata["mend"] = f'crypto-platform sql "$(cat {compiled})"'
    return dg.AssetCheckResult(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=False,
        severity=result.severity,
        description=f"{f'{rows.value:,} rows fail' if rows else 'dbt could not run it'}: {meaning(test)}",
        metadata=metadata,
    )
