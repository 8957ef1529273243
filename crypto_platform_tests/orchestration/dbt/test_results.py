from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import orjson
import pytest
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from crypto_platform.orchestration.dbt.results import NotBuiltError, TestsFailedError, explained
from crypto_platform.transform.project import manifest

TESTS = {
    "fct_bars_prices_make_sense": "models/marts/core/fct_bars.yml/fct_bars_prices_make_sense.sql",
    "fct_bars_1d_matches_fct_bars_1h": "tests/fct_bars_1d_matches_fct_bars_1h.sql",
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
    assert found.metadata["remediation"].value == (
        f'crypto-platform sql "$(cat {tmp_path}/compiled/crypto_platform/{TESTS[name]})"'
    )
    (broken,) = explained([result(name, False)], tmp_path)
    assert str(broken.description).startswith("dbt could not run it: ")


def test_all_else_passes_through(tmp_path: Path) -> None:
    events = [result("fct_bars_prices_make_sense", True), object()]
    assert list(explained(events, tmp_path)) == events


TEST = "fct_bars_prices_make_sense"


def failing(*events: object) -> Iterator[object]:
    """As dagster-dbt raises it once dbt has ended."""
    yield from events
    raise DagsterDbtCliRuntimeError(description="The dbt CLI process with command failed")


def write_results(target: Path, **statuses: str) -> None:
    """By name of a node; the message of all is the same."""
    nodes: dict = manifest()["nodes"]  # type: ignore[assignment]
    named = {node["name"]: unique_id for unique_id, node in nodes.items()}
    results = [
        {"unique_id": named[name], "status": status, "message": "Database Error\n  no such column"}
        for name, status in statuses.items()
    ]
    (target / "run_results.json").write_bytes(orjson.dumps({"results": results}))


def test_a_build_that_only_tests_failed_says_so_and_why(tmp_path: Path) -> None:
    write_results(tmp_path, fct_bars="success", fct_bars_5m="skipped", **{TEST: "fail"})
    with pytest.raises(TestsFailedError, match=rf"{TEST}\b.*: Database Error no such column$"):
        list(explained(failing(result(TEST, False)), tmp_path))


def test_a_build_that_a_model_failed_says_which_and_why(tmp_path: Path) -> None:
    write_results(tmp_path, fct_bars_5m="error", **{TEST: "fail"})
    with pytest.raises(NotBuiltError) as raised:
        list(explained(failing(result(TEST, False)), tmp_path))
    assert str(raised.value).splitlines() == [
        "model.crypto_platform.fct_bars_5m: Database Error no such column",
        f"dbt's log is {tmp_path / 'dbt.log'}",
    ]


def test_a_failing_test_that_is_no_check_is_told_by_the_error(tmp_path: Path) -> None:
    write_results(tmp_path, **{TEST: "fail"})
    with pytest.raises(NotBuiltError, match=TEST):
        list(explained(failing(), tmp_path))


def test_dbt_s_own_error_is_left_where_it_wrote_no_results(tmp_path: Path) -> None:
    with pytest.raises(DagsterDbtCliRuntimeError):
        list(explained(failing(), tmp_path))
