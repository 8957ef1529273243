"""The blocking checks between a feed's stages: nothing is passed on that does not add up."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from crypto_platform.bars import Timeframe
from crypto_platform.feeds.metadata import table
from crypto_platform.lake import Lake, LakeDayMissing
from crypto_platform.snowflake import ledger_checks

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from crypto_platform.kafka.producer import PublishReport
    from crypto_platform.raw import LoadReport

PUBLISHED = "every_bar_is_published"
ACCOUNTED = "every_message_is_accounted_for"
COMPLETE = "every_published_bar_is_in"
ONCE = "no_message_twice"
ON_GRID = "bars_on_their_grid"

KAFKA = {PUBLISHED: "The brokers confirmed as many messages as the lake's files of these days have bars."}
RAW = {
    ACCOUNTED: "Messages drained = loaded + unchanged + rejected.",
    COMPLETE: "Every bar of these days' lake files is in the ledger, but for the rejected.",
    ONCE: "No (topic, partition, offset) is in the ledger twice.",
    ON_GRID: "Every bar of these days starts on its timeframe's grid.",
}


def specs(key: dg.AssetKey, descriptions: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """The specifications of an asset's blocking checks."""
    return [dg.AssetCheckSpec(n, asset=key, blocking=True, description=d) for n, d in descriptions.items()]


def published_is_the_lakes(key: dg.AssetKey, report: "PublishReport", read: int) -> dg.AssetCheckResult:
    """Compare what the brokers confirmed with what the lake's files held."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=PUBLISHED,
        passed=report.messages == read,
        metadata={"bars in the lake": read, "messages confirmed": report.messages},
    )


def prove_load(
    key: dg.AssetKey,
    connection: "SnowflakeConnection",
    feed: str,
    timeframe: Timeframe,
    days: list[date],
    lake: Lake,
    report: "LoadReport",
) -> tuple[list[dg.AssetCheckResult], dict[date, dict[str, int]]]:
    """Check a load against the ledger and the lake; also returns the ledger's bars per day and symbol."""
    held: dict[date, dict[str, int]] = {}
    missing: dict[str, int] = {}
    off_grid = 0
    if days:
        window = days[0], days[-1] + timedelta(days=1)
        held = ledger_checks.bars_by_day(connection, feed, timeframe, *window)
        off_grid = ledger_checks.off_grid(connection, feed, timeframe, *window)
        missing = _missing(feed, timeframe, days, lake, held)
    repeated = ledger_checks.repeated_messages(connection, feed, report.load_id) if report.load_id else 0
    accounted = report.loaded + report.unchanged + report.rejected

    def result(name: str, passed: bool, **metadata: object) -> dg.AssetCheckResult:
        named = {k.replace("_", " "): v for k, v in metadata.items()}
        return dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, metadata=named)  # type: ignore[arg-type]

    return [
        result(
            ACCOUNTED,
            report.messages == accounted,
            messages=report.messages,
            loaded=report.loaded,
            unchanged=report.unchanged,
            rejected=report.rejected,
        ),
        result(
            COMPLETE,
            sum(missing.values()) <= report.rejected,
            missing=sum(missing.values()),
            rejected=report.rejected,
            **({"missing_where": table(missing, "day and symbol", "bars")} if missing else {}),
        ),
        result(ONCE, repeated == 0, repeated=repeated),
        result(ON_GRID, off_grid == 0, off_grid=off_grid),
    ], held


def _missing(
    feed: str, timeframe: Timeframe, days: list[date], lake: Lake, held: dict[date, dict[str, int]]
) -> dict[str, int]:
    """Bars of the lake that the ledger lacks, by day and symbol."""
    missing = {}
    for day in days:
        try:
            counts = lake.counts(feed, timeframe.name, day)
        except LakeDayMissing:
            # Loaded from the topic alone: there is nothing to compare with.
            continue
        for symbol, bars in counts.items():
            if (lacking := bars - held.get(day, {}).get(symbol, 0)) > 0:
                missing[f"{day} {symbol}"] = lacking
    return missing
