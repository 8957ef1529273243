"""`crypto-platform dashboard …`: the dashboards on this machine, and their code."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.settings import Settings

app = typer.Typer(
    name="dashboard",
    no_args_is_help=True,
    help="The dashboards in Apache Superset: shown on this machine, imported, checked, exported.",
)


@app.command()
def serve() -> None:
    """Start the dashboards and the Snowflake they read, bring in their code and print the login, until Ctrl-C.

    Where there are no finished data yet, the shipped recordings are taken through every stage first.

    Example: SUPERSET_PORT=0 crypto-platform dashboard serve
    """
    from rich.console import Console

    from crypto_platform.sandbox import supervise
    from crypto_platform.sandbox.services import DASHBOARDS
    from crypto_platform.settings import settings

    console = Console()
    try:
        see_to_facts(settings(), console)
        with serving(settings(), console, DASHBOARDS) as effective:
            bring_in(effective, console)
            console.print("Ctrl-C stops everything.")
            supervise.wait_until_stopped(effective)
    except KeyboardInterrupt:
        console.print("Stopped.")


@app.command("import")
def import_() -> None:
    """Bring the code in `dashboards/` into the Superset of the settings; what was changed there is overwritten.

    Example: SUPERSET_URL=https://superset.example.com crypto-platform dashboard import
    """
    from rich.console import Console

    from crypto_platform.sandbox import supervise
    from crypto_platform.settings import settings

    bring_in(supervise.running(settings()) or settings(), Console())


@app.command()
def export() -> None:
    """Write what Superset holds now of the dashboards back into `dashboards/`, to be read and committed.

    Example: crypto-platform dashboard export && git diff dashboards
    """
    from crypto_platform.connectors.superset import code
    from crypto_platform.connectors.superset.client import connect
    from crypto_platform.sandbox import supervise
    from crypto_platform.settings import settings

    with connect(supervise.running(settings()) or settings()) as client:
        changed = code.write(code.take(client, code.read()))
    typer.echo("\n".join(changed) or "Nothing differs.")


@app.command()
def check() -> None:
    """Bring the code into an empty Superset and open every dashboard in Chromium. Exit code 1: a chart failed.

    The data are those of the settings' Snowflake; the Superset is gone afterwards.

    Example: crypto-platform dashboard check
    """
    from playwright.sync_api import sync_playwright
    from rich.console import Console

    from crypto_platform.connectors.superset import browser, code
    from crypto_platform.sandbox import supervise
    from crypto_platform.sandbox.display import starting
    from crypto_platform.settings import settings

    console = Console(width=None if sys.stdout.isatty() else 160)
    executable = browser.chromium_on_path()
    if executable is None:
        typer.echo("There is no Chromium on the PATH: `make browser` installs it.", err=True)
        raise typer.Exit(1)
    see_to_facts(settings(), console)
    opened = []
    with (
        supervise.sandbox(settings(), {"snowflake"}, starting(console)) as warehouse,
        tempfile.TemporaryDirectory(prefix="superset-") as folder,
    ):
        own = {"crypto_platform_home": Path(folder), "superset_port": 0, "superset_metadata_url": None}
        with serving(warehouse.model_copy(update=own), console, {"superset"}) as empty, sync_playwright() as playwright:
            bring_in(empty, console)
            chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
            with browser.logged_in(chromium, empty) as page:
                for dashboard in code.dashboards(code.read()):
                    found = browser.open_dashboard(page, empty, dashboard["slug"], len(code.charts_of(dashboard)))
                    opened.append(found)
                    console.print(f"{dashboard['dashboard_title']}: {found.charts} charts")
                    for title, said in found.failed.items():
                        console.print(f"[red]✗[/red] {title}: ", end="")
                        console.print(said, markup=False)
            chromium.close()
    failed = sum(len(found.failed) for found in opened)
    typer.echo(f"dashboards: {len(opened)}, charts: {sum(found.charts for found in opened)}, failed: {failed}")
    raise typer.Exit(1 if failed else 0)


def see_to_facts(settings: "Settings", console: "Console") -> None:
    """Have finished data: on an embedded Snowflake without any, those of the shipped recordings.

    Raises:
        SupersetError: some marts are not there; says how they come to be.
    """
    from crypto_platform.connectors.superset.home import SupersetError
    from crypto_platform.sandbox import supervise
    from crypto_platform.transform.exposures import exposed, missing

    with supervise.sandbox(settings, {"snowflake"}) as effective:
        lacking = missing(effective)
    if lacking and len(lacking) == len({node["name"] for node in exposed().values()}) and settings.embedded_snowflake:
        console.print("There are no finished data yet: the shipped recordings are taken through every stage first.")
        subprocess.run([sys.executable, "-m", "crypto_platform.cli.app", "demo"], check=True, timeout=3600)
    elif lacking:
        raise SupersetError(
            f"MARTS lacks {', '.join(lacking)}, which the dashboards read: materialise some day of a feed with "
            "`crypto-platform materialize`, which builds every mart"
        )


@contextmanager
def serving(settings: "Settings", console: "Console", services: "set[str] | tuple[str, ...]") -> "Iterator[Settings]":
    """Superset set up, and it and the other services up; the settings with the ports in force.

    Raises:
        SupersetError: it is not installed, or refuses to be set up.
        SandboxError: a service does not start.
    """
    from crypto_platform.connectors.superset import server
    from crypto_platform.sandbox import supervise
    from crypto_platform.sandbox.display import starting

    if settings.superset_url is None:
        with console.status("Setting up Superset's metadata, the first time takes a minute …"):
            server.prepare(settings)
    with supervise.sandbox(settings, services, starting(console)) as effective:
        yield effective


def bring_in(settings: "Settings", console: "Console") -> None:
    """Import the code and print where the dashboards are, and the login where it is this machine's own."""
    from crypto_platform.connectors.superset import code
    from crypto_platform.connectors.superset.client import connect
    from crypto_platform.connectors.superset.home import folder, login

    files = code.read()
    with connect(settings) as client, console.status("Bringing in the dashboards …"):
        code.put(client, files)
    for title, address in code.addresses(files, settings).items():
        console.print(f"{title}: {address}")
    if settings.superset_url is None:
        who = login(settings)
        known = "the password that is set"
        if settings.superset_password is None:
            known = f"password {who.password.get_secret_value()}, kept in {folder(settings)} for you alone"
        console.print(f"Log in as {who.username}, {known}.", soft_wrap=True, highlight=False, markup=False)
