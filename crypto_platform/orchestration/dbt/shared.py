"""The raw tables that the loads of all feeds write to, as assets, so that dbt's sources come from somewhere."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from crypto_platform.market.feed_spec import feeds


def shared_tables(manifest: Mapping[str, Any]) -> list[dg.AssetSpec]:
    """A spec for each source of the dbt project that is no feed's own ledger, downstream of every feed's load."""
    ledgers = {f"{feed}_{dataset.name}" for feed, spec in feeds().items() for dataset in spec.datasets}
    return [
        dg.AssetSpec(
            ["raw", source["name"]],
            deps=[["raw", ledger] for ledger in sorted(ledgers)],
            description=source["description"],
            group_name="raw",
            kinds={"snowflake"},
        )
        for source in manifest["sources"].values()
        if source["name"] not in ledgers
    ]
