"""The project itself: unit tests, descriptions, contracts, and that building again changes nothing."""

import json
from typing import Any

import pytest

from crypto_platform_tests.dbt_project.test_increment import marts
from crypto_platform_tests.dbt_project.warehouse import Warehouse


@pytest.fixture(scope="module")
def manifest(recorded: Warehouse) -> dict[str, Any]:
    return json.loads((recorded.scratch / "target" / "manifest.json").read_text())


def test_a_second_build_changes_nothing(recorded: Warehouse) -> None:
    before = marts(recorded)
    results = recorded.dbt("build")
    assert {str(r.status) for r in results} == {"pass", "success", "no-op"}
    after = marts(recorded)
    assert before.keys() == after.keys()
    for name, table in before.items():
        assert table.equals(after[name]), name


def test_a_seed_is_written_where_its_table_is_not_the_file(recorded: Warehouse) -> None:
    days = recorded.table("STAGING.EXCHANGE_DAYS")

    def statements() -> str:
        log = recorded.scratch / "logs" / "dbt.log"
        log.unlink()
        recorded.dbt("build", "--select", "exchange_days", "--log-level-file", "debug")
        return log.read_text()

    assert "insert overwrite" not in statements()
    recorded.query("delete from STAGING.EXCHANGE_DAYS where session_date < '2012-01-01'")
    recorded.query("update STAGING.EXCHANGE_DAYS set holiday_name = null where session_date > '2030-01-01'")
    assert "insert overwrite" in statements()
    assert recorded.table("STAGING.EXCHANGE_DAYS").equals(days)


def test_unit_tests_ran_with_the_build(recorded: Warehouse) -> None:
    results = recorded.dbt("test", "--select", "test_type:unit")
    assert len(results) >= 3


def test_everything_is_described(manifest: dict[str, Any]) -> None:
    kinds = ("model", "seed", "snapshot")
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] in kinds]
    assert nodes
    for node in [*nodes, *manifest["sources"].values()]:
        assert node["description"].strip(), node["name"]
        assert all(column["description"].strip() for column in node["columns"].values()), node["name"]


def test_every_mart_has_a_contract_and_every_column_is_in_it(recorded: Warehouse, manifest: dict[str, Any]) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["fqn"][1] == "marts":
            assert node["contract"]["enforced"], node["name"]
            assert node["access"] == "public", node["name"]
        if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral":
            columns = recorded.query(f"select * from {node['schema']}.{node['name']} limit 0").columns
            assert set(columns) == set(node["columns"]), node["name"]


def test_no_scratch_table_is_left(recorded: Warehouse) -> None:
    left = recorded.query("select table_name from information_schema.tables where table_name ilike '%dbt_tmp%'")
    assert left.empty
