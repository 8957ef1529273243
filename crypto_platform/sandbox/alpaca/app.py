"""The server: its routes, its start page, and the header that says what it is not."""

import html

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto_platform.connectors.alpaca import HELD, NOT_ALPACA
from crypto_platform.sandbox.alpaca.access import Keys
from crypto_platform.sandbox.alpaca.answers import json_response, message
from crypto_platform.sandbox.alpaca.clock import Clock
from crypto_platform.sandbox.alpaca.faults import KINDS, Faults
from crypto_platform.sandbox.alpaca.limits import RateLimiter
from crypto_platform.sandbox.alpaca.paging import Source
from crypto_platform.sandbox.alpaca.rest import Rest
from crypto_platform.sandbox.alpaca.stream import Stream


class _NotAlpaca:
    """Puts the header on every response and every accepted websocket."""

    def __init__(self, app: ASGIApp, label: str) -> None:
        self.app = app
        self.label = label

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def labelled(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                MutableHeaders(scope=message)[NOT_ALPACA] = self.label
            await send(message)

        await self.app(scope, receive, labelled if scope["type"] != "lifespan" else send)


def create_app(
    source: Source,
    rate_limit: int = 10_000,
    keys: Keys | None = None,
    basic_plan: bool = False,
    clock: Clock | None = None,
    late_trades: float = 0.1,
    late_seconds: float = 30.0,
) -> Starlette:
    """The ASGI application over recordings or simulated bars."""
    faults = Faults()
    keys = keys or Keys()
    rest = Rest(source, RateLimiter(rate_limit), keys, faults, basic_plan)
    stream = Stream(source, keys, faults, clock or Clock(), late_trades, late_seconds)

    async def start_page(request: Request) -> Response:
        return HTMLResponse(_start_page(source))

    async def held(request: Request) -> Response:
        return json_response(200, source.description())

    return Starlette(
        routes=[Route("/", start_page), Route(HELD, held), *rest.routes(), *stream.routes(), *faults.routes()],
        middleware=[Middleware(_NotAlpaca, label=source.label)],
        exception_handlers={HTTPException: _http_error},
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return message(error.status_code, error.detail.lower(), dict(error.headers or {}))


def _start_page(source: Source) -> str:
    served = [*source.description(), *source.corporate_actions.description()]
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in served)
    faults = "".join(f"<li><code>{kind}</code>: {html.escape(what)}</li>" for kind, what in KINDS.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Not Alpaca: {source.label} bars</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}</style></head>
<body><h1>This is not Alpaca</h1>
<p>It speaks Alpaca's market-data API for tests and demos, and serves
<strong>{source.label}</strong> bars:</p>
<ul>{lines}</ul>
<p>REST: <code>/v1beta3/crypto/us/bars</code>, <code>/v2/stocks/bars</code> and their latest bars,
<code>/v1/corporate-actions</code>, <code>/v2/assets</code>.
Stream: <code>/v1beta3/crypto/us</code>, <code>/v2/iex</code>,
 <code>/v2/sip</code>, <code>/v2/test</code>; its time, which a replay makes up: <code>/sandbox/clock</code>.
The list of bars above as JSON: <code>{HELD}</code>.</p>
<h2>Faults</h2>
<p><code>POST /sandbox/faults</code> with <code>{{"kind": …, "times": n, "skip": n, "match":
{{"dataset": …, "symbol": …, "start": …, "end": …}}}}</code> arms one, <code>GET</code> tells how often each fired,
<code>DELETE</code> clears them.</p>
<ul>{faults}</ul>
</body></html>
"""
