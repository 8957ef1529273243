from pathlib import Path

import dagster as dg
import pytest

from crypto_platform.transform.project import manifest
from crypto_platform.transform.results import explained

TESTS = {
    "fct_bars_prices_make_sense": "models/marts/core/fct_bars.yml/fct_bars_prices_make_sense.sql",
    "daily_bars_hold_what_hourly_bars_hold": "tests/daily_bars_hold_what_hourly_bars_hold.sql",
}


def result(name: str, passed: bool, **metadata: int) -> dg.AssetCheckResult:
    nodes: dict = manifest()["nodes"]  # type: ignore[assignment]
    unique_id = next(n for n, node in nodes.items() if node["name"] == name)
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(["marts", "fct_bars"]),
        check_name=name,
        passed=passed,
        metadata={"unique_id": unique_id} | {f"dagster_dbt/{n}": value for n, value in metadata.items()},
    )


@pytest.mark.parametrize("name", TESTS)
def test_a_failing_test_says_how_many_rows_and_how_to_see_them(name: str, tmp_path: Path) -> None:
    (found,) = explained([result(name, False, failed_row_count=3)], tmp_path)
    assert str(found.description).startswith("3 rows fail: ")
    assert found.metadata["mend"].value == (
        f'crypto-platform sql "$(cat {tmp_path}/compiled/crypto_platform/{TESTS[name]})"'
    )
    (broken,) = explained([result(name, False)], tmp_path)
    assert str(broken.description).startswith("dbt could not run it: ")


def test_all_else_passes_through(tmp_path: Path) -> None:
    events = [result("fct_bars_prices_make_sense", True), object()]
    assert list(explained(events, tmp_path)) == events
