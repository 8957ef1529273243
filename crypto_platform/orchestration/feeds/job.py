"""The job of a feed: its stages, and dbt's models, whose partitions are those of all feeds."""

from collections.abc import Mapping

import dagster as dg

from crypto_platform.dagster_instance.internals import (
    AssetGraph,
    UnresolvedAssetJobDefinition,
    build_asset_job,
    get_asset_graph_for_job,
)


class FeedJob(UnresolvedAssetJobDefinition):
    """An asset job over assets with partitions of their own each, which share the days of its runs.

    `dg.define_asset_job` refuses them, although Dagster executes such a run: its own job over all assets, by which the
    UI runs any selection, is one. A run has its days from its tags (`run_days`); the job itself has no partitions, so
    that the UI offers none for it.
    """

    def resolve(
        self,
        asset_graph: AssetGraph,
        default_executor_def: dg.ExecutorDefinition | None = None,
        resource_defs: Mapping[str, dg.ResourceDefinition] | None = None,
    ) -> dg.JobDefinition:
        """The job over the assets of its selection."""
        return build_asset_job(
            self.name,
            asset_graph=get_asset_graph_for_job(asset_graph, self.selection, allow_different_partitions_defs=True),
            allow_different_partitions_defs=True,
            description=self.description,
            tags=self.tags,
            run_tags=self.run_tags,
            executor_def=default_executor_def,
            resource_defs=resource_defs,
        )
