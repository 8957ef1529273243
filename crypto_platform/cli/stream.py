"""The commands of the live path: `stream` and `load`."""

import logging
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crypto_platform.market.feed_spec import FeedSpec
    from crypto_platform.settings import Settings

Feeds = Annotated[
    list[str] | None, typer.Option("--feed", help="One feed only; may be given several times. Left out: all.")
]
FAILURE, USAGE = 1, 2


def stream(feed: Feeds = None) -> None:
    """Stream the feeds' bars from Alpaca's websocket to Kafka, until Ctrl-C or SIGTERM.

    What Kafka has not confirmed stays on disk and is sent at the next start. What the stream misses comes by REST.
    Feeds of daily bars are left out: no stream brings those.

    Example: crypto-platform stream --feed crypto
    """
    from crypto_platform.settings import settings
    from crypto_platform.streaming.service import AlreadyRunningError, run

    feeds = _as_of_today(settings(), _streamed(_chosen(feed), named=bool(feed)))
    _log()
    try:
        flushed = run(_effective(settings()), feeds)
    except AlreadyRunningError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    raise typer.Exit(0 if flushed else FAILURE)


def load(
    feed: Feeds = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C or SIGTERM.")] = False,
) -> None:
    """Load what the topics hold and the ledger does not, as a run's raw step does.

    Example: crypto-platform load --follow
    """
    from crypto_platform.connectors.kafka.admin import TopicMissingError
    from crypto_platform.ingestion import topic_load
    from crypto_platform.market.bars import BARS
    from crypto_platform.settings import settings
    from crypto_platform.streaming.loader import RUN_ID, Loader

    feeds = _chosen(feed)
    _log()
    effective = _effective(settings())
    if follow:
        stop = threading.Event()

        def end(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        Loader(effective, {name: spec.followed for name, spec in feeds.items()}).run(stop)
        return
    for name, spec in feeds.items():
        for dataset in spec.followed:
            try:
                report = topic_load.load(effective, name, RUN_ID, dataset=dataset)
            except TopicMissingError:
                # A stock may not be halted for months.
                if dataset is BARS:
                    raise
                continue
            typer.echo(
                f"{name} {dataset.name}: {report.messages} messages, {report.loaded} new, {report.unchanged} "
                f"unchanged, {report.rejected} rejected"
            )


def with_a_market(settings: "Settings") -> "Settings":
    """The settings of a live platform: recordings are past, so without an address of Alpaca the market is simulated."""
    return settings.model_copy(update={"sandbox_simulated": True})


def prepare(settings: "Settings") -> None:
    """Make the ledgers and the live views, unless they are there, so that the first bar can be queried."""
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.connectors.snowflake.schema import ensure_schema
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.transform.live import ensure_live_views

    with connect(settings) as connection:
        for feed, spec in feeds().items():
            ensure_schema(connection, feed, *spec.datasets)
    ensure_live_views(settings)


def _effective(settings: "Settings") -> "Settings":
    """With the ports of the sandbox that is up, if one is."""
    from crypto_platform.sandbox import supervise

    return supervise.running(settings) or settings


def _chosen(names: list[str] | None) -> "Mapping[str, FeedSpec]":
    from crypto_platform.cli.runs import feed_named
    from crypto_platform.market.feed_spec import feeds

    try:
        return {name: feed_named(name) for name in names or feeds()}
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None


def _streamed(chosen: "Mapping[str, FeedSpec]", named: bool) -> "Mapping[str, FeedSpec]":
    """Those of the feeds that have a live stream; one without that was `named` is an error, as none at all is."""
    without = [name for name, spec in chosen.items() if not spec.is_streamed]
    if (named and without) or len(without) == len(chosen):
        typer.echo(
            f"{', '.join(without)} has daily bars, which no stream brings: its schedule asks for a day once it is over",
            err=True,
        )
        raise typer.Exit(USAGE)
    return {name: spec for name, spec in chosen.items() if spec.is_streamed}


def _as_of_today(settings: "Settings", chosen: "Mapping[str, FeedSpec]") -> "Mapping[str, FeedSpec]":
    """The feeds with today's members; a universe that cannot be read is an error of its own feed alone."""
    from crypto_platform.connectors.lake import Lake, LakeDayDamagedError
    from crypto_platform.ingestion.universe import Universe

    found, today = {}, datetime.now(UTC).date()
    for name, spec in chosen.items():
        try:
            found[name] = Universe(Lake(settings.lake), name, spec).as_of(today)
        except (ValueError, LakeDayDamagedError) as error:
            typer.echo(f"{name} is not streamed: {error}", err=True)
    if not found:
        raise typer.Exit(FAILURE)
    return found


def _log() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("alpaca", "snowflake", "pyspark"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
