"""`crypto-platform backup`: what the home keeps, in one archive, and back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.backup.archive import Manifest
    from crypto_platform.settings import Settings

FAILURE = 1
MIB = 2**20

Archive = Annotated[Path, typer.Argument(help="The archive, *.tar.zst.", show_default=False)]

app = typer.Typer(
    name="backup",
    no_args_is_help=True,
    help="What the home keeps, the lake, Dagster's store, the alerts and the stream's spool, in one archive, and back.",
)


@app.command()
def create(
    archive: Annotated[
        Path | None,
        typer.Argument(help="Where to, *.tar.zst; left out: named by the time, in this folder.", show_default=False),
    ] = None,
    ledgers: Annotated[
        bool, typer.Option(help="Keep counts and digests of Snowflake's ledgers too, to compare a rebuilt one with.")
    ] = True,
) -> None:
    """Back the home up into one archive with a hash of every file; the platform may run meanwhile.

    It is there whole or not at all. A lake in a bucket and what is in Postgres are left out, and named with what backs
    them up.

    Example: crypto-platform backup create ~/backups/monday.tar.zst
    """
    import sqlite3

    from rich.console import Console
    from snowflake.connector.errors import Error

    from crypto_platform.backup import home
    from crypto_platform.backup.archive import BackupError
    from crypto_platform.settings import settings

    path = (archive or Path(f"crypto-platform-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.zst")).absolute()
    console = Console(stderr=True)
    try:
        with console.status("Backing up …") as status:
            manifest = home.create(settings(), path, _ledgers(settings(), console, ledgers), _progress(status.update))
    except (BackupError, OSError, sqlite3.Error) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    except Error as error:
        typer.echo(f"{error.msg or error}\n--no-ledgers backs up without asking Snowflake", err=True)
        raise typer.Exit(FAILURE) from None
    for what, by in home.elsewhere(settings()).items():
        typer.echo(f"Not in it is {what}: {by}")
    typer.echo(f"{path}: {_summary(manifest)}, {path.stat().st_size / MIB:,.1f} MiB")


@app.command()
def verify(archive: Archive) -> None:
    """Read an archive and compare every file with its hash. Exit code 1: it is damaged.

    Example: crypto-platform backup verify ~/backups/monday.tar.zst
    """
    from crypto_platform.backup.archive import BackupError, verify

    try:
        manifest = verify(archive)
    except BackupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    typer.echo(f"{archive}: {_summary(manifest)}")


@app.command()
def restore(
    archive: Archive,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Move what the home has aside, into a folder in it that is named by the time."),
    ] = False,
) -> None:
    """Put an archive's content into CRYPTO_PLATFORM_HOME, once all of it was read and compared with its hashes.

    A home in use is refused, and so is one that has such data, unless with --replace. `snowflake rebuild` fills an
    empty warehouse from the lake then.

    Example: CRYPTO_PLATFORM_HOME=~/restored crypto-platform backup restore ~/backups/monday.tar.zst
    """
    from crypto_platform.backup import home
    from crypto_platform.backup.archive import BackupError
    from crypto_platform.settings import settings

    try:
        manifest, aside = home.restore(settings(), archive, replace)
    except (BackupError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILURE) from None
    typer.echo(f"{settings().crypto_platform_home}: {_summary(manifest)}")
    if aside:
        typer.echo(f"What was there before is in {aside}.")
    made, here = manifest.versions, home.versions()
    if different := [f"{name} {made[name]}, here {here[name]}" for name in here if made.get(name, "") != here[name]]:
        typer.echo(
            f"It was made by other versions: {'; '.join(different)}. `dagster instance migrate` brings its store up"
        )
    if ledgers := manifest.about["ledgers"]:
        typer.echo(
            f"Of {len(ledgers)} ledgers it has the digests: crypto-platform snowflake reconcile --backup {archive}"
        )


def _ledgers(settings: "Settings", console: "Console", wanted: bool) -> Any:
    """What asks Snowflake for the ledgers' fingerprints; nothing where they are not wanted."""
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.ingestion.lake_reconciliation import held
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.sandbox import display, supervise

    def ask() -> dict[str, Any]:
        with (
            supervise.sandbox(settings, {"snowflake"}, display.starting(console)) as effective,
            connect(effective, "checks") as connection,
        ):
            return held(connection, feeds())

    return ask if wanted else dict


def _progress(show: Any) -> Any:
    """What is told each file: shows the part, its files and its size so far."""
    counts: dict[str, tuple[int, int]] = {}

    def tell(name: str, size: int) -> None:
        part = name.partition("/")[0]
        files, total = counts.get(part, (0, 0))
        counts[part] = files + 1, total + size
        show(f"{part}: {files + 1:,} files, {(total + size) / MIB:,.1f} MiB")

    return tell


def _summary(manifest: "Manifest") -> str:
    made = f"{manifest.created_at:%Y-%m-%d %H:%M:%S} UTC by {manifest.versions['crypto-platform']}"
    files = f"{len(manifest.files):,} files, {manifest.bytes / MIB:,.1f} MiB unpacked"
    return f"{', '.join(manifest.about['parts'])}; {files}; made {made}"
