"""One feed of the project by itself, as Dagster's definitions."""

import dagster as dg

from crypto_platform.defs.resources import resources
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.orchestration.checks.adjusted_prices import adjusted_price_reconciliation
from crypto_platform.orchestration.checks.freshness import asset_checks
from crypto_platform.orchestration.feeds import BarFeed


def definitions(feed: str, spec: FeedSpec, *with_models: dg.AssetsDefinition) -> dg.Definitions:
    """The feed up to its ledger, with these models of dbt: none where what is looked at comes before them."""
    of_feed = BarFeed(feed, spec).build_defs(dg.ComponentTree.for_test().load_context)
    checks = dg.Definitions(asset_checks=[*asset_checks(), adjusted_price_reconciliation])
    return dg.Definitions.merge(of_feed, dg.Definitions(assets=list(with_models)), checks, resources())
