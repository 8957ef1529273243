"""The check that compares adjusted prices with Alpaca's own."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from crypto_platform.market.bars import Timeframe
from crypto_platform.market.data_source import again
from crypto_platform.market.day_ranges import ONE_DAY
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.asset_keys import ADJUSTED_DAYS
from crypto_platform.orchestration.checks.stages import LISTED, Check, specs
from crypto_platform.orchestration.metadata import records, table
from crypto_platform.orchestration.partitions import days_of_run
from crypto_platform.orchestration.resources import AlpacaResource
from crypto_platform.settings import settings

if TYPE_CHECKING:
    from crypto_platform.transform.adjusted_prices import Comparison

# From the day before an ex-date until Alpaca has booked the action: a dividend on its payable date, weeks later.
PROCESSED_WITHIN = timedelta(days=60)

ADJUSTED_PRICE_RECONCILIATION = Check(
    "adjusted_price_reconciliation",
    "Of a sample of stocks, the split-adjusted and total-return closes are those that Alpaca gives by "
    "`adjustment=split` and `adjustment=all`.",
    blocking=False,
)


@dg.multi_asset_check(
    name=ADJUSTED_PRICE_RECONCILIATION.name,
    specs=specs(ADJUSTED_DAYS, [ADJUSTED_PRICE_RECONCILIATION]),
    # So that a run may leave it out.
    can_subset=True,
)
def adjusted_price_reconciliation(
    context: dg.AssetCheckExecutionContext, alpaca: AlpacaResource
) -> Iterator[dg.AssetCheckResult]:
    """Of today's sample of each feed whose daily bars are Alpaca's own.

    Not in a run over days, which Dagster gives all checks of the assets that it asks for: Alpaca would be asked after
    each of them, and an outage of its stocks would fail a run of coins.
    """
    if days_of_run(context.run):
        context.log.info("not in a run over days: the schedule adjusted_prices_daily compares, or Execute")
        return
    from crypto_platform.connectors.alpaca.errors import AlpacaError
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.transform.adjusted_prices import compare, sampled

    today, found = datetime.now(UTC).date(), {}
    try:
        with connect(settings(), "checks") as connection, alpaca.client() as client:
            for feed, spec in compared_feeds().items():
                if symbols := sampled(connection, feed, today):
                    found[feed] = compare(connection, client, feed, spec, symbols)
            origin = client.origin
    except AlpacaError as error:
        # Without Alpaca's prices there is no verdict: the step fails, and the check neither passes nor warns.
        raise dg.Failure(f"nothing was compared: {error}", allow_retries=False) from error
    yield shown(found, today, origin)


def compared_feeds() -> dict[str, FeedSpec]:
    """The feeds with raw daily bars: an intraday feed's days are aggregates, whose closes are not Alpaca's."""
    return {
        feed: spec
        for feed, spec in feeds().items()
        if spec.asset_class != "crypto"
        and Timeframe.parse(spec.timeframe).is_daily
        and spec.adjustment in (None, "raw")
    }


def shown(found: Mapping[str, "Comparison"], day: date, origin: str) -> dg.AssetCheckResult:
    """The result of `day`'s samples by feed; `origin` of Alpaca's prices."""
    differing = [d for comparison in found.values() for d in comparison.differences]
    wrong = [d for d in differing if not d.is_known]
    counts = {
        f"{feed} {symbol}": count for feed, comparison in found.items() for symbol, count in comparison.compared.items()
    }
    without = [name for name, count in counts.items() if not count]
    says = f"{sum(counts.values()):,} closes of {len(counts) - len(without)} symbols are Alpaca's"
    if not counts:
        says = "no feed has raw daily bars to compare"
    elif without:
        says += f"; of {', '.join(without[:5])} there is no day to compare"
    metadata: dict[str, dg.MetadataValue] = {
        "sampled_on": dg.MetadataValue.text(str(day)),
        "origin": dg.MetadataValue.text(origin),
        "requests": dg.MetadataValue.int(sum(comparison.requests for comparison in found.values())),
        "compared_closes": table(counts, "symbol", "closes"),
    }
    if differing:
        listed = sorted(differing, key=lambda d: (d.is_known, d.symbol, -d.day.toordinal()))[:LISTED]
        metadata["differences"] = records([asdict(d) for d in listed])
    if wrong:
        one = wrong[0]
        says = (
            f"{len(wrong)} differences, first {one.feed} {one.symbol} on {one.day}: {one.column} {one.ours:.6g}, "
            f"Alpaca's {one.theirs:.6g}; action: {one.likely_action}"
        )
        metadata["feed"] = dg.MetadataValue.text(one.feed)
        until = min(one.day + (ONE_DAY if one.column == "close" else PROCESSED_WITHIN), day)
        metadata["remediation"] = dg.MetadataValue.text(f"{again(one.feed, one.day, until)} --symbols {one.symbol}")
    return dg.AssetCheckResult(
        asset_key=ADJUSTED_DAYS,
        check_name=ADJUSTED_PRICE_RECONCILIATION.name,
        # A sample of which Alpaca has nothing proves nothing.
        passed=not wrong and (len(without) < len(counts) or not counts),
        severity=dg.AssetCheckSeverity.WARN,
        description=says,
        metadata=metadata,
    )
