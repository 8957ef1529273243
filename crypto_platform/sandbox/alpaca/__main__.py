"""The command line: `python -m crypto_platform.sandbox.alpaca --help`."""

import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from crypto_platform.sandbox.alpaca.access import Keys
from crypto_platform.sandbox.alpaca.app import create_app
from crypto_platform.sandbox.alpaca.clock import Clock
from crypto_platform.sandbox.alpaca.paging import Source, parse_time
from crypto_platform.sandbox.alpaca.parameters import BadRequestError
from crypto_platform.sandbox.alpaca.recordings import Recorded, RecordingError
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform.settings import is_loopback


class _Server(uvicorn.Server):
    """Prints its address once it accepts requests."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def _loopback(host: str) -> str:
    if not is_loopback(host):
        raise typer.BadParameter(f"{host}: this server lets anyone in, so it listens on loopback only")
    return host


def _recorded(folder: Path) -> Recorded:
    source = Recorded(folder)
    for problem in source.corporate_actions.problems:
        typer.echo(problem, err=True)
    return source


def _moment(text: str) -> int:
    try:
        return parse_time(text, "crypto", "time")
    except BadRequestError as error:
        raise typer.BadParameter(f"{error}: write it as 2026-03-01T00:00:00Z") from error


def main(
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")],
    recordings: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Serve the CSV, CSV.gz and Parquet files under DIR: columns symbol, timestamp, open, high, low, "
            "close, volume and, if there, trade_count and vwap; the timeframe in a column or in the file's name. "
            "Corporate actions: *corporate-actions*.json and .json.gz, each a body as Alpaca answers.",
        ),
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="Serve computed bars and corporate actions of any symbol and time up to now."),
    ] = False,
    host: Annotated[str, typer.Option(callback=_loopback, help="Address to listen on, loopback only.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Another seed makes other simulated bars.")] = 0,
    rate_limit: Annotated[int, typer.Option(metavar="N", min=1, help="Requests a minute and key.")] = 10_000,
    key_id: Annotated[str | None, typer.Option(help="Let in only this key, with --secret; else any pair.")] = None,
    secret: Annotated[str | None, typer.Option(help="The secret key that belongs to --key-id.")] = None,
    basic_plan: Annotated[
        bool,
        typer.Option(
            "--basic-plan", help="Forbid SIP data of the last 15 minutes, as Alpaca does without a subscription."
        ),
    ] = False,
    stream_from: Annotated[
        int | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="Replay from this time on, such as 2026-03-01T00:00:00Z, once a first client is authenticated "
            "(recordings: from their first minute bar; simulated: live, as of now).",
        ),
    ] = None,
    stream_speed: Annotated[
        float, typer.Option(metavar="N", min=0.001, help="Replay N times as fast, until it has caught up with now.")
    ] = 1.0,
    late_trades: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of the minute bars that miss a late trade at first and are updated.",
        ),
    ] = 0.1,
    late_seconds: Annotated[
        float,
        typer.Option(metavar="N", min=0, help="Seconds of the stream's time from the end of a minute to its update."),
    ] = 30.0,
) -> None:
    """Speak Alpaca's market-data API (REST and websocket) on loopback, over recorded or simulated bars.

    It is not Alpaca: every response says so in its header X-Not-Alpaca. Point alpaca-py at it with url_override. Prints
    its address when it is ready; its start page tells what it serves and the faults that can be armed. Runs until
    SIGINT or SIGTERM; exit code 1: bad recordings or a taken port.
    """
    if simulated == (recordings is not None):
        raise typer.BadParameter("give one of --recordings and --simulated")
    if (key_id is None) != (secret is None):
        raise typer.BadParameter("--key-id and --secret go together")
    try:
        source: Source = _recorded(recordings) if recordings else Simulated(seed)
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except RecordingError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"cannot listen on {host}:{port}: {error}", err=True)
        raise typer.Exit(1) from None
    app = create_app(
        source,
        rate_limit,
        Keys((key_id, secret) if key_id and secret else None),
        basic_plan,
        Clock(stream_speed, source.first_minute() if stream_from is None else stream_from),
        late_trades,
        late_seconds,
    )
    # A hanging request must not keep the server from stopping.
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    _Server(config).run(sockets=[listener])


if __name__ == "__main__":
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command()(main)
    app(prog_name="python -m crypto_platform.sandbox.alpaca")
