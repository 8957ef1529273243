"""The crypto feed with any number of symbols, in a process of its own; its YAML stays as it is.

`python -m bench.many_symbols SYMBOLS FROM TO [--without-dbt]` runs its job over the days [FROM, TO) once.
"""

import sys
from datetime import date

import dagster as dg

from crypto_platform.cli.runs import MaterializationRequest, materialize
from crypto_platform.defs.dbt import models
from crypto_platform.defs.resources import resources
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.checks.adjusted_prices import adjusted_price_reconciliation
from crypto_platform.orchestration.checks.freshness import asset_checks
from crypto_platform.orchestration.feeds import BarFeed

FEED = "crypto"


def symbols(count: int) -> tuple[str, ...]:
    """So many made-up pairs; the simulation serves any."""
    return tuple(f"COIN{number}/USD" for number in range(count))


def definitions(count: int, with_dbt: bool = True) -> dg.Definitions:
    """The feed's assets and job for so many symbols, with the project's models and resources."""
    spec = FeedSpec(asset_class="crypto", symbols=symbols(count), start_date=feeds()[FEED].start_date)
    feed = BarFeed(FEED, spec).build_defs(dg.ComponentTree.for_test().load_context)
    return with_models(feed) if with_dbt else with_resources(feed)


def with_models(feed: dg.Definitions) -> dg.Definitions:
    """A feed's assets and job with the project's models and resources."""
    return with_resources(dg.Definitions.merge(feed, dg.Definitions(assets=[models])))


def with_resources(feed: dg.Definitions) -> dg.Definitions:
    """The same without the models."""
    # The feed's job names the checks that it leaves out.
    checks = dg.Definitions(asset_checks=[*asset_checks(), adjusted_price_reconciliation])
    return dg.Definitions.merge(feed, checks, resources())


def main() -> None:
    count, start, end, *rest = sys.argv[1:]
    request = MaterializationRequest(FEED, date.fromisoformat(start), date.fromisoformat(end))
    run = materialize(request, definitions=definitions(int(count), with_dbt="--without-dbt" not in rest))
    for error in run.errors:
        print(error)
    sys.exit(not run.ok)


if __name__ == "__main__":
    main()
