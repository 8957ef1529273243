"""The dbt project's models, one dbt invocation a run."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from crypto_platform.orchestration.dbt.results import explained
from crypto_platform.orchestration.dbt.translator import Translator
from crypto_platform.orchestration.partitions import daily_of_all
from crypto_platform.settings import settings
from crypto_platform.transform.project import known_nodes, manifest, new_run_folder
from crypto_platform.transform.window import window


@dbt_assets(
    manifest=manifest(),
    dagster_dbt_translator=Translator(),
    partitions_def=daily_of_all(),
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="dbt",
)
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
    # Tests executed on their own, as the UI's checks, are of the whole table.
    days = context.has_partition_key or context.has_partition_key_range
    with window(*context.partition_time_window) if days else nullcontext():
        # dbt's unit tests prove the code, not the data.
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        build = dbt.cli(arguments, context=context, target_path=new_run_folder(settings(), context.run.run_id))
    with known_nodes():
        yield from explained(build.stream(), build.target_path)
