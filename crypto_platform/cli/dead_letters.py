"""`crypto-platform dead-letters`: what was rejected, why, and its replay."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crypto_platform.settings import Settings

FAILURE, USAGE = 1, 2

Feeds = Annotated[list[str] | None, typer.Option("--feed", help="One feed only; may be given several times.")]
Reason = Annotated[str, typer.Option("--reason", help="Only those whose reason contains this.")]
All = Annotated[bool, typer.Option("--all", help="Those that were replayed already as well.")]

app = typer.Typer(
    name="dead-letters", no_args_is_help=True, help="Messages that the load or Kafka rejected: list, show, replay."
)


@app.command("list")
def list_(feed: Feeds = None, reason: Reason = "", all_: All = False) -> None:
    """Count the dead letters, by feed and reason.

    Example: crypto-platform dead-letters list
    """
    from crypto_platform.ingestion import dead_letters

    with _systems(feed) as (effective, names):
        kinds = dead_letters.count(effective, names, reason, all_)
        for kind in kinds:
            typer.echo(
                f"{kind.feed}\trejected by {'the load' if kind.origin == 'load' else 'Kafka'}\t{kind.letters}\t"
                f"{kind.reason}\t{kind.first_at:%Y-%m-%d %H:%M:%S} to {kind.last_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        if not kinds:
            typer.echo("No dead letters.")


@app.command()
def show(
    feed: Feeds = None,
    reason: Reason = "",
    all_: All = False,
    limit: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
) -> None:
    """Show dead letters with their bytes as text, the oldest first.

    Example: crypto-platform dead-letters show --reason "high is below low"
    """
    from crypto_platform.ingestion import dead_letters

    with _systems(feed) as (effective, names):
        # One more than is shown tells whether that is all.
        letters = dead_letters.find(effective, names, reason, all_, limit + 1)
        for letter in letters[:limit]:
            place = f"partition {letter.partition}, offset" if letter.origin == "load" else "spool number"
            replayed = f", replayed {letter.replayed_at:%Y-%m-%d %H:%M:%S} UTC" if letter.replayed_at else ""
            key, value = (part[:2000].decode(errors="replace") for part in (letter.key, letter.value))
            typer.echo(
                f"{letter.feed}, {place} {letter.offset}, {letter.refused_at:%Y-%m-%d %H:%M:%S} UTC{replayed}: "
                f"{letter.reason}\n  {key}\t{value}"
            )
        if len(letters) > limit:
            typer.echo(f"There are more: show them with a higher --limit than {limit}.")


@app.command()
def replay(feed: Feeds = None, reason: Reason = "", all_: All = False) -> None:
    """Publish dead letters again; the next load validates them again. Recorded in RAW.REPLAYS.

    Example: crypto-platform dead-letters replay --feed crypto --reason "in the future"
    """
    from crypto_platform.connectors.kafka.admin import TopicError
    from crypto_platform.connectors.kafka.producer import PublishError
    from crypto_platform.ingestion import dead_letters

    with _systems(feed) as (effective, names):
        left = sum(kind.letters for kind in dead_letters.count(effective, names, reason, all_))
        letters = dead_letters.find(effective, names, reason, all_)
        if not letters:
            typer.echo("Nothing to replay.")
            return
        try:
            run_id = dead_letters.replay(effective, letters)
        except (TopicError, PublishError, dead_letters.VersionNotKnownError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILURE) from None
        typer.echo(f"{len(letters)} messages published again by {run_id}.")
        if left > len(letters):
            typer.echo(f"{left - len(letters)} more are left: narrow them with --reason, or run it again.")


@contextmanager
def _systems(feed: list[str] | None) -> "Iterator[tuple[Settings, list[str]]]":
    """Kafka and Snowflake, up, and the names of the feeds that are requested."""
    from rich.console import Console

    from crypto_platform.cli.runs import feed_named
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    try:
        names = [name for name in feed or feeds() if feed_named(name)]
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    progress = display.starting(Console(stderr=True))
    with supervise.sandbox(settings(), {"kafka", "snowflake"}, progress) as effective:
        yield effective, names
