"""The command line: `python -m crypto_platform.sandbox.alpaca --help`."""

import argparse
import ipaddress
import socket
import sys
from pathlib import Path

import uvicorn

from crypto_platform.sandbox.alpaca.access import Keys
from crypto_platform.sandbox.alpaca.app import create_app
from crypto_platform.sandbox.alpaca.clock import Clock
from crypto_platform.sandbox.alpaca.paging import BadRequestError, Source, parse_time
from crypto_platform.sandbox.alpaca.recordings import Recorded, RecordingError
from crypto_platform.sandbox.alpaca.simulated import Simulated


class _Server(uvicorn.Server):
    """Prints its address once it accepts requests."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m crypto_platform.sandbox.alpaca",
        description="Speak Alpaca's market-data API (REST and websocket) on loopback, over recorded or "
        "simulated bars. It is not Alpaca: every response says so in its header X-Not-Alpaca. Point "
        "alpaca-py at it with url_override. Prints its address when it is ready; its start page tells what "
        "it serves and the faults that can be armed.",
    )
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="serve the CSV, CSV.gz and Parquet files under DIR: columns symbol, timestamp, open, high, low, "
        "close, volume and, if there, trade_count and vwap; the timeframe in a column or in the file's name",
    )
    served.add_argument("--simulated", action="store_true", help="serve computed bars of any symbol and time up to now")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, loopback only (%(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0: a free one")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other simulated bars (%(default)s)")
    parser.add_argument(
        "--rate-limit", type=int, default=10_000, metavar="N", help="requests a minute and key (%(default)s)"
    )
    parser.add_argument("--key-id", help="let in only this key, with --secret; else any pair is let in")
    parser.add_argument("--secret", help="the secret key that belongs to --key-id")
    parser.add_argument(
        "--basic-plan",
        action="store_true",
        help="forbid SIP data of the last 15 minutes, as Alpaca does without a subscription",
    )
    stream = parser.add_argument_group("stream")
    stream.add_argument(
        "--stream-from",
        type=_moment,
        metavar="TIME",
        help="replay from this time on, such as 2026-03-01T00:00:00Z, once a first client is authenticated "
        "(recordings: from their first minute bar; simulated: live, as of now)",
    )
    stream.add_argument(
        "--stream-speed",
        type=float,
        default=1.0,
        metavar="N",
        help="replay N times as fast, until it has caught up with now (%(default)s)",
    )
    stream.add_argument(
        "--late-trades",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the minute bars that miss a late trade at first and are updated (%(default)s)",
    )
    stream.add_argument(
        "--late-seconds",
        type=float,
        default=30.0,
        metavar="N",
        help="seconds of the stream's time from the end of a minute to its update (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.rate_limit < 1:
        parser.error("--rate-limit is a number from 1 up")
    if not options.stream_speed > 0:
        parser.error("--stream-speed is a number above 0")
    if not 0 <= options.late_trades <= 1:
        parser.error("--late-trades is a number from 0 to 1")
    if not options.late_seconds >= 0:
        parser.error("--late-seconds is a number from 0 up")
    if (options.key_id is None) != (options.secret is None):
        parser.error("--key-id and --secret go together")
    if not _is_loopback(options.host):
        parser.error(f"--host {options.host}: this server lets anyone in, so it listens on loopback only")
    if options.recordings and not options.recordings.is_dir():
        parser.error(f"--recordings {options.recordings}: no such folder")
    return options


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return False


def _moment(text: str) -> int:
    try:
        return parse_time(text, "crypto", "time")
    except BadRequestError as error:
        raise argparse.ArgumentTypeError(f"{error}: write it as 2026-03-01T00:00:00Z") from error


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; the exit code: 0, or 1 for bad recordings or a taken port."""
    options = _arguments(arguments)
    try:
        source: Source = Simulated(options.seed) if options.simulated else Recorded(options.recordings)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    keys = Keys((options.key_id, options.secret) if options.key_id else None)
    start = source.first_minute() if options.stream_from is None else options.stream_from
    app = create_app(
        source,
        options.rate_limit,
        keys,
        options.basic_plan,
        Clock(options.stream_speed, start),
        options.late_trades,
        options.late_seconds,
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
