"""How dbt's nodes look in Dagster: keys by layer, sources as the feeds' raw assets, tests as checks."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.automation.follow import after_feeds
from crypto_platform.orchestration.checks.freshness import policy


class Translator(DagsterDbtTranslator):
    """Keys are `<layer>/<model>`, so that `raw/crypto_bars` is followed by `staging/…` and `marts/…`."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))
        # Once: Dagster looks for a cron's shortest interval by going through years of it.
        self._freshness = policy(feeds().values())

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

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(freshness_policy=self._freshness)

    def get_automation_condition(self, dbt_resource_props: Mapping[str, Any]) -> dg.AutomationCondition:
        return after_feeds()

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        """A test as a check of the whole table: of a range of days at once, Dagster records no check by partition."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec._replace(description=meaning(manifest["nodes"][unique_id])) if spec else None


def meaning(test: Mapping[str, Any]) -> str:
    """What a dbt test asks for: its description, else its name and arguments."""
    if test["description"] or "test_metadata" not in test:
        return test["description"] or test["name"]
    found = test["test_metadata"]
    said = {n: ", ".join(v) if isinstance(v, list) else v for n, v in found["kwargs"].items() if n != "model"}
    return f"{found['name']}: {'; '.join(f'{name} = {value}' for name, value in said.items())}"
