"""Dagster's private names are used through one module, and are those that Dagster itself uses."""

import ast
from pathlib import Path

import dagster as dg

import crypto_platform
from crypto_platform.dagster_instance import internals

PACKAGE = Path(crypto_platform.__file__).parent


def private_imports(source: str) -> list[str]:
    """Modules of Dagster's with an underscore that a source imports."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [module for module in modules if module.startswith("dagster") and "._" in module]


def test_no_other_module_imports_what_is_private() -> None:
    others = {path: private_imports(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert [path.name for path, found in others.items() if found] == ["internals.py"]


def test_nothing_is_private_that_dagster_makes_public() -> None:
    assert [name for name in internals.__all__ if hasattr(dg, name)] == []


def test_tags_are_spelled_as_other_programs_write_them() -> None:
    """Runs that the UI, the daemon and older releases started carry these."""
    assert internals.ASSET_PARTITION_RANGE_START_TAG == "dagster/asset_partition_range_start"
    assert internals.ASSET_PARTITION_RANGE_END_TAG == "dagster/asset_partition_range_end"
    assert internals.PARTITION_NAME_TAG == "dagster/partition"
    assert internals.BACKFILL_ID_TAG == "dagster/backfill"
    assert internals.MAX_RETRIES_TAG == "dagster/max_retries"
    assert internals.WILL_RETRY_TAG == "dagster/will_retry"


def test_what_is_finished_and_what_is_not_are_all_there_is() -> None:
    assert {*internals.FINISHED_STATUSES, *internals.NOT_FINISHED_STATUSES} == set(dg.DagsterRunStatus) - {
        dg.DagsterRunStatus.MANAGED
    }


def test_partitions_get_their_metadata_as_dagster_itself_gives_it() -> None:
    daily = dg.DailyPartitionsDefinition("2026-01-01")
    single_run = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=daily, backfill_policy=single_run)
    def at_once(context: dg.AssetExecutionContext) -> None:
        internals.add_partition_metadata(context, context.asset_key, {k: {"bars": k} for k in context.partition_keys})

    @dg.asset(partitions_def=daily, backfill_policy=single_run)
    def one_by_one(context: dg.AssetExecutionContext) -> None:
        for partition in context.partition_keys:
            context.add_asset_metadata({"bars": partition}, context.asset_key, partition_key=partition)

    days = {
        internals.ASSET_PARTITION_RANGE_START_TAG: "2026-01-02",
        internals.ASSET_PARTITION_RANGE_END_TAG: "2026-01-04",
    }
    result = dg.materialize([at_once, one_by_one], tags=days)
    found = {
        asset.key: sorted(
            (m.partition, m.metadata["bars"].value)
            for m in result.asset_materializations_for_node(asset.key.to_python_identifier())
        )
        for asset in (at_once, one_by_one)
    }
    assert found[at_once.key] == found[one_by_one.key]
    assert found[at_once.key] == [(f"2026-01-0{n}", f"2026-01-0{n}") for n in (2, 3, 4)]
