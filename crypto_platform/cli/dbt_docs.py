"""`crypto-platform dbt-docs`."""

from typing import Annotated

import typer

from crypto_platform.settings import LOOPBACK
from crypto_platform.transform.docs import DocsError, generate, serve


def docs(
    port: Annotated[int, typer.Option(help="Where to serve it, on loopback; 0 lets the system choose.")] = 8085,
) -> None:
    """Write and serve dbt's documentation of the models, with their lineage and columns, until Ctrl-C.

    The embedded Snowflake is started for it when it is not up. Columns are those of tables that were built.

    Example: crypto-platform dbt-docs
    """
    from rich.console import Console

    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import settings

    console = Console()
    try:
        with supervise.sandbox(settings(), {"snowflake"}, display.starting(console)) as effective:
            folder = generate(effective)
        with serve(folder, port) as server:
            console.print(f"Models: http://{LOOPBACK}:{server.server_port}   Ctrl-C stops it.", highlight=False)
            server.serve_forever()
    except DocsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{LOOPBACK}:{port} cannot be served: {error.strerror}; choose another with --port", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
