"""The command line, `crypto-platform`. What a command does is in the modules it imports when it runs."""

import json
import signal
import sys
from contextlib import ExitStack
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from crypto_platform.cli import alerts as alerts
from crypto_platform.cli import backup, dead_letters, snowflake
from crypto_platform.cli import pipeline as runs
from crypto_platform.cli import stream as live
from crypto_platform.cli.chart import chart
from crypto_platform.cli.dashboards import app as dashboards
from crypto_platform.cli.dbt_docs import docs
from crypto_platform.cli.export import export
from crypto_platform.cli.first_day import first_day
from crypto_platform.cli.importing import import_
from crypto_platform.gc_tuning import collect_rarely

OK, FAILURE, USAGE = 0, 1, 2


class _Commands(TyperGroup):
    """Failures that were foreseen end with their message, without a traceback, and exit code 1 (2: a bad setting)."""

    def invoke(self, ctx: Any) -> Any:
        from pydantic import ValidationError

        from crypto_platform.connectors.snowflake.connection import LoginError
        from crypto_platform.connectors.snowflake.query import QueryError
        from crypto_platform.connectors.superset.home import SupersetError
        from crypto_platform.sandbox.jars import JarsError
        from crypto_platform.sandbox.java import JavaError
        from crypto_platform.sandbox.supervisord import SandboxError

        try:
            return super().invoke(ctx)
        except ValidationError as error:
            for problem in error.errors():
                # What is said of several settings names them itself.
                name = f"{'.'.join(map(str, problem['loc'])).upper()}: " if problem["loc"] else ""
                typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}", err=True)
            raise typer.Exit(USAGE) from None
        except LoginError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(USAGE) from None
        except (SandboxError, JavaError, JarsError, QueryError, SupersetError) as error:
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


app.add_typer(alerts.app)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@app.callback()
def main() -> None:
    collect_rarely()
    # As an exception, so that whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, _terminate)


@app.command()
def up(
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Superset and its dashboards too.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="The stream and the loader too; without APCA_API_DATA_URL, simulated bars.")
    ] = False,
) -> None:
    """Start the embedded systems and Dagster's UI, until Ctrl-C.

    With --live today's bars arrive as they happen: see market.marts.live_prices. What the settings place elsewhere
    is not started. Data stays in CRYPTO_PLATFORM_HOME.

    Example: SANDBOX_KAFKA_PORT=0 crypto-platform up
    """
    from rich.console import Console

    from crypto_platform.cli import dashboards as commands
    from crypto_platform.cli.stream import prepare, with_a_market
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.sandbox.services import DASHBOARDS, LIVE, PLATFORM
    from crypto_platform.settings import settings

    console = Console()
    chosen = with_a_market(settings()) if live else settings()
    try:
        with ExitStack() as stack:
            if dashboard:
                stack.enter_context(commands.serving(chosen, console, DASHBOARDS))
            effective = stack.enter_context(supervise.sandbox(chosen, PLATFORM, display.starting(console)))
            if live:
                prepare(effective)
                stack.enter_context(supervise.sandbox(chosen, LIVE, display.starting(console)))
            if dashboard:
                commands.bring_in(effective, console)
            console.print(display.status_table(supervise.status(effective)))
            if live and chosen.apca_api_data_url is None:
                console.print(
                    "The market is simulated: no price of it was ever paid. Beside recordings of the same symbols its "
                    "prices jump: give it a CRYPTO_PLATFORM_HOME of its own."
                )
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
def restart(service: Annotated[str, typer.Argument(help="As `crypto-platform status` names it.")]) -> None:
    """Stop one of the programs that `up` started, and start it again; also one that has ended.

    `code` takes in what was edited under crypto_platform; runs in progress end with it, and are started once more.

    Example: crypto-platform restart daemon
    """
    from crypto_platform.sandbox import supervise
    from crypto_platform.settings import settings

    with runs.usage():
        supervise.restart(settings(), service)
    typer.echo(f"{service} runs.")


@app.command()
def watchdog() -> None:
    """Watch Dagster's daemon, code server and web server from outside and deliver alerts, until it is ended.

    `up` runs one. In production run it beside Dagster, with DAGSTER_HOME, DAGSTER_UI_URL and DAGSTER_CODE_SERVER set.

    Example: crypto-platform watchdog
    """
    import logging

    from crypto_platform.monitoring.watchdog import watch
    from crypto_platform.sandbox import supervise
    from crypto_platform.settings import settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    watch(settings(), supervise)


@app.command()
def enable(name: Annotated[str, typer.Argument(help="A sensor or schedule, as the UI names it.")]) -> None:
    """Switch a sensor or schedule on that somebody switched off. Dagster must be up.

    Example: crypto-platform enable crypto_schedule
    """
    _switch(name, on=True)


@app.command()
def disable(name: Annotated[str, typer.Argument(help="A sensor or schedule, as the UI names it.")]) -> None:
    """Switch a sensor or schedule off, until `enable`; alerts say so meanwhile. Dagster must be up.

    Example: crypto-platform disable crypto_schedule
    """
    _switch(name, on=False)


def _switch(name: str, on: bool) -> None:
    from crypto_platform.dagster_instance.switch import NotSwitchedError, switch
    from crypto_platform.settings import settings

    try:
        typer.echo(switch(settings(), name, on=on))
    except NotSwitchedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None


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
    """Check Java, jars, packages, memory, disk, ports and logins, and say what to do. Exit code 1: a check failed.

    On a Snowflake account also each login's role, warehouse, privileges and stage, and the clock.

    Example: crypto-platform doctor
    """
    from rich.console import Console

    from crypto_platform.cli.doctor import examine
    from crypto_platform.settings import settings

    console, wrong = Console(highlight=False), 0
    for finding in examine(settings()):
        mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
        console.print(f"{mark} {finding.check}: ", end="")
        console.print(finding.found, markup=False)
        if not finding.ok:
            wrong += 1
            # Not wrapped: a statement or a command in it is there to be copied.
            console.print(f"    → {finding.remediation}", markup=False, soft_wrap=True)
    console.print(f"{wrong} check{'s' if wrong > 1 else ''} failed." if wrong else "All checks passed.")
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

    from crypto_platform.cli.console import result_table, stdout
    from crypto_platform.connectors.snowflake import query
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

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
        stdout().print(result_table(result))


for command in (chart, export, first_day, runs.materialize, runs.backfill, runs.republish):
    app.command()(command)
app.command("import")(import_)


@app.command()
def demo() -> None:
    """Take the shipped recordings through every stage and show the daily bars and the overview that come out.

    Example: crypto-platform demo
    """
    from crypto_platform.cli import demo as tour
    from crypto_platform.cli.console import result_table, stdout
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.connectors.snowflake.query import query
    from crypto_platform.settings import settings

    console = stdout()
    source = SourceOption(recordings=settings().sandbox_recordings)
    with runs.usage():
        requested = tour.requests(settings().sandbox_recordings)
    with runs.systems(source, console) as effective:
        for request in requested:
            runs.show(runs.run(request, source, console), console)
        shown = {
            "MARTS.FCT_BARS_1D, the last days of each symbol": tour.LAST_DAYS,
            "MARTS.FCT_BARS_1D_ADJUSTED, the closes around splits, raw and adjusted": tour.SPLITS_ADJUSTED,
            "MARTS.MARKET_OVERVIEW": tour.OVERVIEW,
        }
        for title, statement in shown.items():
            with query(effective, statement) as result:
                console.print(result_table(result, title))
    console.print(f"The bars are {source.label}; what they are says {settings().sandbox_recordings / 'README.md'}.")
    console.print(
        f"Look at the runs and the assets: crypto-platform up, then http://127.0.0.1:{settings().dagster_ui_port}"
    )
    console.print('Ask for more: crypto-platform sql "select * from market.marts.fct_bars_1d"')


app.command()(live.stream)
app.command()(live.load)
app.add_typer(dead_letters.app)
app.command("dbt-docs")(docs)
app.add_typer(snowflake.app)
app.add_typer(backup.app)


app.add_typer(dashboards)


if __name__ == "__main__":
    app()
