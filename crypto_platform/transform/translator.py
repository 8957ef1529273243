"""How dbt's nodes look in Dagster: keys by layer, sources as the feeds' raw assets, tests on partitions."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from crypto_platform.feeds.partitions import daily


class Translator(DagsterDbtTranslator):
    """Keys are `<layer>/<model>`, so that `raw/crypto_bars` is followed by `staging/…` and `marts/…`."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        layers = {
            "source": dbt_resource_props.get("source_name"),
            "seed": "seeds",
            "snapshot": "snapshots",
            "model": dbt_resource_props["fqn"][1],
        }
        return dg.AssetKey([layers[dbt_resource_props["resource_type"]].lower(), dbt_resource_props["name"].lower()])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return self.get_asset_key(dbt_resource_props).path[0]

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec._replace(partitions_def=daily()) if spec else None
