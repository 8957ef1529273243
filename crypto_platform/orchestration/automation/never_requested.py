"""Days that nobody ever asked Alpaca for: a person decides about them, knowing what a backfill would take."""

from collections.abc import Mapping, Sequence
from datetime import date

from crypto_platform.connectors.lake import Lake
from crypto_platform.ingestion.universe import Universe, union
from crypto_platform.market.day_ranges import ONE_DAY, days_in
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.orchestration.automation.backfill import lacking, plan
from crypto_platform.settings import Settings

# Groups of symbols whose backfill is named.
NAMED = 3


def advice(
    settings: Settings,
    feed: str,
    spec: FeedSpec,
    days: Mapping[tuple[str, ...], Sequence[date]],
    materialised: set[date],
) -> str:
    """How many days are left alone, and the backfills that fill them; empty when there are none.

    `days` by the symbols that lack them.
    """
    if not days:
        return ""
    count = len({day for chosen in days.values() for day in chosen})
    groups = sorted(days.items(), key=lambda group: min(group[1]))
    commands = [_backfill(settings, feed, spec, symbols, chosen, materialised) for symbols, chosen in groups[:NAMED]]
    more = [f"and {len(groups) - NAMED} more groups of symbols"] if len(groups) > NAMED else []
    return (
        f"{count:,} days were never requested and are left alone, unless REPAIR_NEVER_REQUESTED=true: "
        f"{', '.join(commands + more)}"
    )


def _backfill(
    settings: Settings,
    feed: str,
    spec: FeedSpec,
    symbols: tuple[str, ...],
    days: Sequence[date],
    materialised: set[date],
) -> str:
    """The command, and what it will ask for."""
    wanted = min(days), max(days) + ONE_DAY
    lake = Lake(settings.lake)
    chosen = lacking(spec, feed, symbols, wanted, materialised, lake)
    # Days that were loaded without being asked for, such as from the topic alone, count as there.
    missing_only = set(days) <= set(chosen)
    found = plan(settings, feed, spec, symbols, chosen if missing_only else list(days_in(wanted)))
    everyone = union(Universe(lake, feed, spec).members(days))
    named = "" if len(symbols) == len(everyone) else f" --symbols {','.join(symbols)}"
    return (
        f"`crypto-platform backfill --feed {feed} --from {wanted[0]} --to {wanted[1]}{named}"
        f"{' --missing-only' if missing_only else ''}` ({found.days:,} days, {found.requests:,} requests, "
        f"{found.least_seconds // 60} minutes at the least)"
    )
