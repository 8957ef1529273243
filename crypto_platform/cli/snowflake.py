"""`crypto-platform snowflake`: the set-up of an account, and what it costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crypto_platform.connectors.snowflake.account import Account, SetupError, Storage

if TYPE_CHECKING:
    from crypto_platform.connectors.snowflake.setup import Section
    from crypto_platform.settings import Settings

FAILURE, USAGE = 1, 2

app = typer.Typer(
    name="snowflake", no_args_is_help=True, help="The platform on an account: its objects and roles, its costs."
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
    from rich.console import Console

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
        with supervise.sandbox(chosen, {"snowflake"}, display.starting(Console(stderr=True))) as effective:
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
