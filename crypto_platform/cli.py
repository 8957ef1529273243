"""The command line, `crypto-platform`. What a command does is in the modules it imports when it runs."""

import json
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

OK, FAILURE, USAGE = 0, 1, 2


class _Commands(TyperGroup):
    """Failures that were foreseen end with their message, without a traceback, and exit code 1 (2: a bad setting)."""

    def invoke(self, ctx: Any) -> Any:
        from pydantic import ValidationError

        from crypto_platform.sandbox.java import JavaError
        from crypto_platform.sandbox.supervisord import SandboxError
        from crypto_platform.snowflake.query import QueryError

        try:
            return super().invoke(ctx)
        except ValidationError as error:
            for problem in error.errors():
                typer.echo(f"{'.'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", err=True)
            raise typer.Exit(USAGE) from None
        except (SandboxError, JavaError, QueryError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILURE) from None


app = typer.Typer(
    name="crypto-platform",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Stock and crypto bars from Alpaca through Kafka, Spark and Snowflake to dbt. Settings come from the "
    "environment and `.env`; `.env.example` lists them. A system without an address is the embedded one on this "
    "machine. Exit codes: 0 done, 1 failed, 2 wrong usage or setting.",
)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@app.callback()
def main() -> None:
    # As an exception, so that whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, _terminate)


@app.command()
def up() -> None:
    """Start the embedded systems and Dagster's UI, until Ctrl-C.

    What the settings place elsewhere is not started. Data stays in CRYPTO_PLATFORM_HOME.

    Example: SANDBOX_KAFKA_PORT=0 crypto-platform up
    """
    from rich.console import Console

    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    console = Console()
    try:
        with supervise.sandbox(settings(), supervise.SERVICES, display.starting(console)) as effective:
            console.print(display.status_table(supervise.status(effective)))
            console.print(f"Dagster: http://127.0.0.1:{effective.dagster_ui_port}   Ctrl-C stops everything.")
            supervise.wait_until_stopped(effective)
    except KeyboardInterrupt:
        console.print("Stopped.")


@app.command()
def down() -> None:
    """Stop the embedded systems, also those that another terminal started.

    Example: crypto-platform down
    """
    from crypto_platform.sandbox import supervise
    from crypto_platform.settings import settings

    typer.echo("Stopped." if supervise.stop(settings()) else "Nothing was running.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False) -> None:
    """Show what runs, where and since when.

    Example: crypto-platform status --json
    """
    from rich.console import Console

    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    services = supervise.status(settings())
    if as_json:
        typer.echo(json.dumps(display.status_json(services), indent=2))
    else:
        Console().print(display.status_table(services))


@app.command()
def doctor() -> None:
    """Check Java, jars, packages, memory, disk, ports and logins, and say what to do. Exit code 1: something is wrong.

    Example: crypto-platform doctor
    """
    from rich.console import Console

    from crypto_platform.doctor import examine
    from crypto_platform.settings import settings

    console, wrong = Console(highlight=False), 0
    for finding in examine(settings()):
        mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
        console.print(f"{mark} {finding.check}: ", end="")
        console.print(finding.found, markup=False)
        if not finding.ok:
            wrong += 1
            console.print(f"    → {finding.mend}", markup=False)
    console.print("All is well." if not wrong else f"{wrong} to mend.")
    raise typer.Exit(FAILURE if wrong else OK)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One SQL statement, in quotes.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV; NULL is an empty field.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")] = False,
) -> None:
    """Run a statement on Snowflake; the embedded one is started for it when it is not up.

    Example: crypto-platform sql "select symbol, count(*) from market.marts.fct_bars_1d group by 1"
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings
    from crypto_platform.snowflake import query

    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    progress = display.starting(Console(stderr=True))
    with (
        supervise.sandbox(settings(), {"snowflake"}, progress) as effective,
        query.query(effective, statement) as result,
    ):
        if as_csv or as_json:
            for line in query.csv_lines(result) if as_csv else query.json_lines(result):
                typer.echo(line)
            return
        table = Table()
        for column in result.columns:
            table.add_column(Text(column), overflow="fold")
        for row in result.rows:
            cells = (query.text(value) for value in row)
            table.add_row(*(Text("NULL", style="dim") if cell is None else Text(cell) for cell in cells))
        Console().print(table)


if __name__ == "__main__":
    app()
