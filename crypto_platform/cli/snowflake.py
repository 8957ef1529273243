"""`crypto-platform snowflake`: the set-up of an account, what it costs, and its ledgers beside the lake."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crypto_platform.connectors.snowflake.account import Account, SetupError, Storage

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.connectors.snowflake.setup import Section
    from crypto_platform.ingestion.lake_reconciliation import Fingerprints
    from crypto_platform.settings import Settings

FAILURE, USAGE = 1, 2
DIFFERENCES_SHOWN = 20

Feeds = Annotated[
    list[str] | None, typer.Option("--feed", help="One feed only; may be given several times. Left out: all.")
]
Backup = Annotated[
    Path | None, typer.Option("--backup", help="Compare with what this backup says of the ledgers, not with the lake.")
]

app = typer.Typer(
    name="snowflake",
    no_args_is_help=True,
    help="The platform on an account: its objects, roles and costs. The ledgers beside the lake.",
)


@app.command()
def setup(
    apply: Annotated[
        bool,
        typer.Option(
            "--apply",
            help="Run it with the settings' login, of a user who has ACCOUNTADMIN; on the emulator without an account.",
        ),
    ] = False,
    prefix: Annotated[str, typer.Option(help="Begins the names of roles, users and warehouses: DEV_.")] = "",
    credit_quota: Annotated[
        int, typer.Option(help="Credits a month, of all three warehouses together.")
    ] = Account.credit_quota,
    retention_days: Annotated[
        int, typer.Option(help="Days that Time Travel reaches back in RAW; Standard Edition has 1 at the most.")
    ] = Account.retention_days,
    allow: Annotated[
        list[str] | None, typer.Option(help="Addresses the users may come from: 203.0.113.0/24; repeatable.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of the users' public keys: svc_loader.pub, …")] = None,
    generate_keys: Annotated[
        bool,
        typer.Option("--generate-keys", help="Make the key pairs that --keys lacks; no private key is shown."),
    ] = False,
    storage_url: Annotated[
        str | None, typer.Option(help="Bucket of an external stage: s3://bucket/path or gcs://bucket/path.")
    ] = None,
    storage_aws_role: Annotated[
        str | None, typer.Option(help="Role that Snowflake takes on for s3://: arn:aws:iam::…:role/….")
    ] = None,
    costs: Annotated[
        bool,
        typer.Option("--costs", help="Let dbt's role see the account's statements and credits, for `snowflake costs`."),
    ] = False,
) -> None:
    """Print the SQL that sets up an account for the platform, or run it; run again it changes nothing.

    Roles LOADER, TRANSFORMER and READER with no more than they need, their users and warehouses, the database
    SNOWFLAKE_DATABASE with its schemas and RAW's tables, limits of time and credits.

    Example: crypto-platform snowflake setup --keys ~/keys --generate-keys --allow 203.0.113.0/24 > setup.sql
    """
    from crypto_platform.connectors.snowflake import service_keys
    from crypto_platform.connectors.snowflake.setup import script, sections
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    chosen = settings()
    datasets = {name: spec.datasets for name, spec in feeds().items()}
    try:
        if generate_keys and keys is None:
            raise SetupError("--generate-keys needs the folder, --keys")
        users = [service.user for service in Account(prefix=prefix).services]
        made = service_keys.generate(keys, users) if keys and generate_keys else []
        account = Account(
            database=chosen.snowflake_database,
            prefix=prefix,
            credit_quota=credit_quota,
            retention_days=retention_days,
            allowed_ranges=tuple(allow or ()),
            storage=Storage(storage_url or "", storage_aws_role) if storage_url or storage_aws_role else None,
            costs=costs,
            public_keys=service_keys.public_keys(keys, users) if keys else {},
            statement_timeout=chosen.snowflake_statement_timeout,
            request_timeout=chosen.snowflake_network_timeout,
        )
    except SetupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    for file in made:
        typer.echo(f"{file} is new: keep it where its service runs, and nowhere else.", err=True)
    if apply:
        with supervise.sandbox(chosen, {"snowflake"}, display.starting(_progress())) as effective:
            _apply(effective, account, sections(account, datasets))
        return
    for line in script(account, datasets):
        typer.echo(line)


@app.command("costs")
def show_costs(
    days: Annotated[int, typer.Option(min=1, help="Newest days to show.")] = 7,
    build: Annotated[bool, typer.Option(help="Build the marts first; without, show them as they are.")] = True,
) -> None:
    """Credits by day, component and feed, from MARTS.FCT_QUERY_COSTS, which it builds.

    The component idle is what no statement was attributed. Snowflake attributes credits up to 8 hours late. The set-up
    must have been run with --costs.

    Example: crypto-platform snowflake costs --days 30
    """
    from crypto_platform.cli.console import result_table, stdout
    from crypto_platform.connectors.snowflake.query import QueryError, query
    from crypto_platform.settings import settings
    from crypto_platform.transform import costs
    from crypto_platform.transform.build import BuildError

    chosen = settings()
    if chosen.embedded_snowflake:
        typer.echo("SNOWFLAKE_ACCOUNT is not set: the emulator meters nothing", err=True)
        raise typer.Exit(USAGE)
    try:
        if build:
            typer.echo("Building MARTS.FCT_QUERY_COSTS …", err=True)
            costs.build(chosen)
        with query(chosen.for_dbt, costs.SUMMARY, (days,)) as result:
            stdout().print(result_table(result))
    except (BuildError, QueryError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None


@app.command()
def reconcile(feed: Feeds = None, backup: Backup = None) -> None:
    """Compare the ledgers' current versions with the lake, or with a backup: counts and a digest of every partition.

    Says which partitions differ. What the ledgers alone have, as the stream's bars that REST has not answered yet, a
    rebuild from the lake would not bring back. Exit code 1: they differ, or a ledger is not the sum of its loads.

    Example: crypto-platform snowflake reconcile --feed crypto
    """
    from crypto_platform.cli.pipeline import systems
    from crypto_platform.cli.source_option import SourceOption

    chosen, expected = _chosen(feed), _ledgers(backup)
    with systems(SourceOption(), _progress(), {"snowflake"}) as effective:
        _reconcile(effective, chosen, backup, expected)


@app.command()
def rebuild(
    feed: Feeds = None,
    backup: Backup = None,
    build: Annotated[bool, typer.Option(help="Build dbt's models, all of their history.")] = True,
) -> None:
    """Fill the ledgers from the lake, in an empty warehouse or one that lost rows, and prove that they are equal.

    Publishes every day of the lake again and loads it: nothing is requested from Alpaca, what is there stays, and run
    again it adds nothing. The current versions come back; older ones are in Snowflake's Time Travel. Ends with
    `reconcile`, and its exit code.

    Example: crypto-platform snowflake rebuild --backup crypto-platform-20261130T040000Z.tar.zst
    """
    from crypto_platform.cli.pipeline import systems
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.connectors.kafka.admin import TopicError
    from crypto_platform.connectors.kafka.producer import PublishError
    from crypto_platform.connectors.lake import LakeDayDamagedError
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.connectors.snowflake.schema import ensure_schema
    from crypto_platform.ingestion import republish
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.transform.build import BuildError
    from crypto_platform.transform.history import build_all

    chosen, expected = _chosen(feed), _ledgers(backup)
    console = _progress()
    with systems(SourceOption(), console, {"kafka", "spark", "snowflake"}) as effective:
        try:
            with connect(effective, "load") as connection:
                # The models join all feeds, also those that were never loaded.
                for name, spec in feeds().items():
                    ensure_schema(connection, name, *spec.datasets)
            for name in chosen:
                republish.rebuild(effective, name, feeds()[name], lambda line: console.print(line, markup=False))
            if build:
                console.print("Building dbt's models …")
                build_all(effective)
        except (PublishError, TopicError, LakeDayDamagedError, BuildError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILURE) from None
        _reconcile(effective, chosen, backup, expected)


def _chosen(feed: list[str] | None) -> list[str]:
    """The feeds that are asked for, all where none is."""
    from crypto_platform.cli.pipeline import usage
    from crypto_platform.cli.runs import feed_named
    from crypto_platform.market.feed_spec import feeds

    with usage():
        return [name for name in feed or feeds() if feed_named(name)]


def _progress() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _ledgers(backup: Path | None) -> "dict[str, Fingerprints]":
    """What a backup says of the ledgers; nothing without one."""
    from crypto_platform.backup.archive import BackupError, verify
    from crypto_platform.ingestion.lake_reconciliation import parsed

    if backup is None:
        return {}
    try:
        found = parsed(verify(backup).about["ledgers"])
    except BackupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    if not found:
        typer.echo(f"{backup} says nothing of the ledgers: it was made with --no-ledgers", err=True)
        raise typer.Exit(USAGE)
    return found


def _reconcile(
    effective: "Settings", chosen: list[str], backup: Path | None, expected: "dict[str, Fingerprints]"
) -> None:
    from rich.table import Table

    from crypto_platform.cli.console import stdout
    from crypto_platform.connectors.lake import Lake, LakeDayDamagedError
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.ingestion.lake_reconciliation import reconcile as compare
    from crypto_platform.market.feed_spec import feeds

    beside = "the backup" if backup else "the lake"
    table = Table(title=f"Ledgers beside {beside}", title_justify="left")
    for column in ("ledger", "partitions", "current versions", "versions", "loaded", "differ"):
        table.add_column(column, justify="left" if column == "ledger" else "right")
    lines, agree = [], True
    try:
        with connect(effective, "checks") as connection:
            for name in chosen:
                for one in compare(Lake(effective.lake), connection, name, feeds()[name], expected):
                    counts = (len(one.found), one.records, one.balance.held, one.balance.loaded, len(one.differences))
                    table.add_row(one.table, *(f"{count:,}" for count in counts))
                    lines += [f"{one.table} {difference.line(beside)}" for difference in one.differences]
                    agree = agree and one.agrees
    except LakeDayDamagedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    stdout().print(table)
    for line in lines[:DIFFERENCES_SHOWN]:
        typer.echo(line)
    if len(lines) > DIFFERENCES_SHOWN:
        typer.echo(f"and {len(lines) - DIFFERENCES_SHOWN:,} more")
    typer.echo("Equal." if agree else "Not equal.")
    if not agree:
        raise typer.Exit(FAILURE)


def _apply(chosen: "Settings", account: Account, parts: "tuple[Section, ...]") -> None:
    import snowflake.connector

    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.connectors.snowflake.setup import apply, settings_lines

    def tell(number: int, count: int, role: str, statement: str) -> None:
        typer.echo(f"{number}/{count} {role}: {statement}")

    # Neither need be there yet: each section takes its own role, and no statement computes anything.
    administrator = chosen.model_copy(update={"snowflake_role": None, "snowflake_warehouse": None})
    try:
        with connect(administrator) as connection:
            apply(connection, parts, tell)
    except (SetupError, snowflake.connector.errors.Error) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    for line in settings_lines(account):
        typer.echo(line)
