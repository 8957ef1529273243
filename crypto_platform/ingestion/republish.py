"""Fill a topic and the ledger again from the lake, after one of the two lost what it held."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.ledger_checks import bars_by_day
from crypto_platform.connectors.snowflake.schema import ensure_schema
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.lake_reconciliation import kept
from crypto_platform.ingestion.requested_partitions import record, requested_actions, requested_partitions
from crypto_platform.ingestion.universe import Universe, load_members
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings

RUN_ID = "rebuild"


def stored(settings: Settings, feed: str, timeframe: str, start: date | None, end: date | None) -> list[date]:
    """The lake's days of a feed within [start, end); an open side is unlimited.

    Raises:
        ValueError: there is none.
    """
    days = [
        day
        for day in Lake(settings.lake).days(feed, timeframe)
        if (start is None or day >= start) and (end is None or day < end)
    ]
    if not days:
        raise ValueError(f"the lake at {settings.lake} has no day of {feed} in that range: materialize it instead")
    return days


def rebuild(settings: Settings, feed: str, spec: FeedSpec, tell: Callable[[str], None]) -> None:
    """Fill the feed's ledgers in an empty warehouse from the lake; what was requested and a universe's members too.

    Versions that are gone from the ledger of bars are given up first, which `RAW.LOADS` keeps a row of. The topics'
    messages that are still there are loaded as well, older versions among them. What the ledgers have stays; run again
    it adds nothing. `tell` is given a line about each step.

    Raises:
        LakeDayDamagedError: a file is cut or altered.
        PublishError, TopicError, and those of `topic_load.load`: run again; nothing enters twice.
    """
    lake = Lake(settings.lake)
    for dataset, folder in kept(spec).items():
        if not (days := lake.days(feed, folder)):
            continue
        tell(f"{feed}: publishing {len(days):,} days of {dataset.name}, {days[0]} to {days[-1]}")
        files: Iterator[Any] = (lake.read_day(feed, folder, day) for day in days)
        published = publish(settings, feed, files, RUN_ID, dataset=dataset)
        # Of messages that the topic lost the lake's were published again just now.
        topic_load.accept_loss(settings, feed, RUN_ID, dataset=dataset)
        if dataset is BARS:
            # Nor do loads of before stand for what is gone.
            topic_load.accept_ledger_loss(settings, feed, RUN_ID)
        tell(f"{feed}: loading {published.messages:,} messages of {dataset.name}")
        report = topic_load.load(settings, feed, RUN_ID, dataset=dataset)
        tell(f"{feed}: {report.loaded:,} versions loaded, {report.unchanged:,} unchanged, {report.rejected:,} rejected")
    with connect(settings, "load") as connection:
        ensure_schema(connection, feed, *spec.datasets)
        days, timeframe = lake.days(feed, spec.timeframe), Timeframe.parse(spec.timeframe)
        answered = requested_partitions(lake, feed, timeframe, days, bars_by_day(connection, feed, spec.timeframe))
        record(connection, feed, spec.timeframe, answered, RUN_ID)
        if CORPORATE_ACTIONS in spec.datasets:
            actions = requested_actions(lake, feed, lake.days(feed, CORPORATE_ACTIONS.name))
            record(connection, feed, CORPORATE_ACTIONS.name, actions, RUN_ID)
        if recorded := lake.universe_days(feed):
            load_members(connection, Universe(lake, feed, spec), recorded)
