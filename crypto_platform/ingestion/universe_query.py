"""The members of a universe that is a query of Alpaca's assets, for days that have no record yet."""

import re
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from crypto_platform.connectors.alpaca.assets import Asset, assets
from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.plan import pages_of_known, plan
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.connectors.lake import UniverseDay
from crypto_platform.market.bars import SYMBOL_PATTERNS, Timeframe
from crypto_platform.market.day_ranges import ONE_DAY
from crypto_platform.market.feed_spec import FeedSpec, named
from crypto_platform.market.universe import UniverseSpec

# Of older days the list of today lacks what was delisted since.
RECENT = timedelta(days=7)
_MIDNIGHT = time(tzinfo=UTC)


@dataclass(frozen=True)
class QueryResult:
    """The days' members; `rejected`: what was left out, and why."""

    days: list[UniverseDay]
    rejected: tuple[str, ...]


def query_members(client: AlpacaClient, feed: str, spec: FeedSpec, days: Iterable[date]) -> QueryResult:
    """Ask Alpaca who the members of the days are.

    Of a day that is more than `RECENT` ago inactive assets are candidates too, tradable or not: today's list would have
    no company that failed since. The largest are those with the highest sum of VWAP x volume (close x volume where
    there is no VWAP) in the calendar month before the day's.

    Raises:
        ValueError: the feed's universe is no query, or no asset answers it.
        AlpacaError: see `AlpacaClient.paged`.
    """
    if (universe := spec.universe) is None:
        raise ValueError(f"feed {feed} has no universe")
    observed_at = datetime.now(UTC)
    recent = observed_at.date() - RECENT
    wanted: dict[tuple[date, bool], list[date]] = defaultdict(list)
    for day in days:
        wanted[day.replace(day=1), day < recent].append(day)
    listed = assets(client, feed, spec.asset_class, "active")
    if any(is_past for _, is_past in wanted):
        listed += assets(client, feed, spec.asset_class, "inactive")
    known = [a for a in listed if re.fullmatch(SYMBOL_PATTERNS[spec.asset_class], a.symbol)]
    odd = sorted({a.symbol for a in listed} - {a.symbol for a in known})
    found = []
    for (month, is_past), own in sorted(wanted.items()):
        symbols = _candidates(universe, known, is_past)
        if universe.largest and symbols:
            symbols = _largest(client, feed, spec, symbols, month, universe.largest)
        if not symbols:
            raise ValueError(
                f"feed {feed}: no asset of Alpaca's answers the query {universe.what} for {own[0]}: ask for less"
            )
        source = f"Alpaca's {'active and inactive' if is_past else 'active'} assets: {universe.what}"
        found += [UniverseDay(feed, day, tuple(symbols), source, observed_at) for day in own]
    says = (f"{len(odd):,} assets have no symbol of a known form: {named(odd)}",) if odd else ()
    return QueryResult(found, says)


def _candidates(universe: UniverseSpec, listed: Iterable[Asset], is_past: bool) -> list[str]:
    """The symbols that answer the query, its `largest` left aside, sorted."""
    return sorted(
        {
            asset.symbol
            for asset in listed
            if (not universe.exchange or asset.exchange in universe.exchange)
            and (is_past if not asset.is_active else universe.tradable in (None, asset.is_tradable))
        }
    )


def _largest(client: AlpacaClient, feed: str, spec: FeedSpec, symbols: list[str], month: date, count: int) -> list[str]:
    """The `count` symbols of the highest dollar volume in the calendar month before `month` (its first day), sorted."""
    before = (month - ONE_DAY).replace(day=1)
    request = BarsRequest(
        feed, spec.asset_class, tuple(symbols), Timeframe.parse("1Day"), before, month, spec.alpaca_feed
    )
    volumes: dict[str, float] = defaultdict(float)
    traffic, stop = Traffic(), threading.Event()
    chosen = plan(request, client.concurrency)
    for group in chosen.groups:
        for first, after in chosen.windows(before, month):
            start, end = datetime.combine(first, _MIDNIGHT), datetime.combine(after, _MIDNIGHT)
            for page in pages_of_known(client, request, list(group), start, end, traffic, stop):
                for symbol, bars in page.bars.items():
                    volumes[symbol] += sum((bar.get("vw") or bar["c"]) * bar["v"] for bar in bars)
    return sorted(sorted(volumes, key=lambda symbol: (-volumes[symbol], symbol))[:count])
