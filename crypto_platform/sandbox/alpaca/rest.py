"""Alpaca's REST endpoints for bars, corporate actions and assets.

https://docs.alpaca.markets/reference/cryptobars-1, …/stockbars, …/corporateactions-1 and …/get-v2-assets-1.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca import access, corporate_actions
from crypto_platform.sandbox.alpaca.answers import JSON, json_response, message
from crypto_platform.sandbox.alpaca.assets import assets
from crypto_platform.sandbox.alpaca.columns import Bars, to_dicts, to_json
from crypto_platform.sandbox.alpaca.faults import Faults
from crypto_platform.sandbox.alpaca.halts import traded
from crypto_platform.sandbox.alpaca.limits import RateLimiter
from crypto_platform.sandbox.alpaca.paging import Page, Query, Source, page, parse, parse_symbols
from crypto_platform.sandbox.alpaca.parameters import BadRequestError, choice
from crypto_platform.sandbox.alpaca.timeframes import MINUTE, ONE_MINUTE

LOCATIONS = {"us", "us-1", "us-2", "eu-1", "bs-1"}
LATEST_FEEDS = {"delayed_sip", "iex", "otc", "sip", "boats", "overnight"}
RECENT = 15 * MINUTE
Endpoint = Callable[[Request, AssetClass, dict[str, str]], Awaitable[Response]]


@dataclass(frozen=True)
class Rest:
    """The endpoints over one source. `basic_plan`: recent SIP data is forbidden, as unsubscribed."""

    source: Source
    limiter: RateLimiter
    keys: access.Keys
    faults: Faults
    basic_plan: bool

    def routes(self) -> list[Route]:
        return [
            Route("/v1beta3/crypto/{loc}/bars", self.crypto_bars),
            Route("/v1beta3/crypto/{loc}/latest/bars", self.crypto_latest),
            Route("/v2/stocks/bars", self.stock_bars),
            Route("/v2/stocks/bars/latest", self.stock_latest),
            Route("/v1/corporate-actions", self.corporate_actions),
            Route("/v2/assets", self.assets),
        ]

    async def crypto_bars(self, request: Request) -> Response:
        return await self._answer(request, "crypto", self._bars)

    async def crypto_latest(self, request: Request) -> Response:
        return await self._answer(request, "crypto", self._latest)

    async def stock_bars(self, request: Request) -> Response:
        return await self._answer(request, "us_equity", self._bars)

    async def stock_latest(self, request: Request) -> Response:
        return await self._answer(request, "us_equity", self._latest)

    async def corporate_actions(self, request: Request) -> Response:
        return await self._answer(request, "us_equity", self._corporate_actions)

    async def assets(self, request: Request) -> Response:
        return await self._answer(request, "us_equity", self._assets)

    async def _answer(self, request: Request, asset_class: AssetClass, endpoint: Endpoint) -> Response:
        pair = access.given(request.headers)
        if pair is None and asset_class == "us_equity":
            return message(401, "forbidden.")
        if pair is not None and not self.keys.accepts(*pair):
            return message(403, "forbidden.")
        within, headers = self.limiter.count(pair[0] if pair else "")
        if not within:
            return message(429, "too many requests.", headers)
        try:
            return await endpoint(request, asset_class, headers)
        except BadRequestError as error:
            return message(400, str(error), headers)
        except PermissionError as error:
            return message(403, str(error))

    async def _bars(self, request: Request, asset_class: AssetClass, headers: dict[str, str]) -> Response:
        now = time.time_ns()
        _check_location(request)
        query = parse(request.query_params, asset_class, self.source, now)
        self._check_plan(asset_class, request.query_params.get("feed", "sip"), query.last, now)
        answer = self._traded(query, page(self.source, query))
        if fault := self.faults.response_to(query):
            return await fault.respond(request, _page_json(answer, query.currency), headers)
        content = self.faults.reword(query, _page_json(self.faults.alter(query, answer), query.currency))
        return Response(content, headers=headers, media_type=JSON)

    async def _latest(self, request: Request, asset_class: AssetClass, headers: dict[str, str]) -> Response:
        now = time.time_ns()
        _check_location(request)
        parameters = request.query_params
        symbols = parse_symbols(parameters, asset_class, self.source)
        if asset_class == "us_equity":
            feed = choice(parameters, "feed", LATEST_FEEDS, "iex" if self.basic_plan else "sip")
            self._check_plan(asset_class, feed, now, now)
        found: dict[str, object] = {}
        for symbol in symbols:
            bars = self._last_minute(symbol, asset_class, now)
            if len(bars):
                found[symbol] = to_dicts(bars)[0]
        answer: dict[str, object] = {"bars": found}
        if "currency" in parameters:
            answer["currency"] = parameters["currency"]
        return json_response(200, answer, headers)

    async def _corporate_actions(self, request: Request, asset_class: AssetClass, headers: dict[str, str]) -> Response:
        query = corporate_actions.parse(request.query_params, time.time_ns())
        answer = corporate_actions.page(self.source.corporate_actions, query)
        if fault := self.faults.response_to(query):
            return await fault.respond(request, answer.json(), headers)
        content = self.faults.alter_actions(query, answer).json()
        return Response(content, headers=headers, media_type=JSON)

    async def _assets(self, request: Request, asset_class: AssetClass, headers: dict[str, str]) -> Response:
        return json_response(200, assets(self.source, request.query_params), headers)

    def _traded(self, query: Query, answer: Page) -> Page:
        """The page without the bars, and parts of bars, in which a stock was halted."""
        bars = {}
        for symbol, found in answer.bars.items():

            def minutes(first: int, last: int, symbol: str = symbol) -> Bars:
                room = (last - first) // MINUTE + 1
                return self.source.bars(
                    symbol, query.asset_class, ONE_MINUTE, first, last, room, adjustment=query.adjustment
                )

            halts = [halt for halt, _ in self.faults.halts(symbol)]
            bars[symbol] = traded(found, halts, query.timeframe, query.asset_class, minutes)
        return Page({symbol: found for symbol, found in bars.items() if len(found)}, answer.next)

    def _last_minute(self, symbol: str, asset_class: AssetClass, last: int) -> Bars:
        bars = self.source.bars(symbol, asset_class, ONE_MINUTE, 0, last, 1, descending=True)
        for halt, _ in self.faults.halts(symbol) if len(bars) else ():
            if halt.covers(bars.times).any():
                return self._last_minute(symbol, asset_class, halt.start - 1)
        return bars

    def _check_plan(self, asset_class: AssetClass, feed: str, last: int, now: int) -> None:
        if self.basic_plan and asset_class == "us_equity" and feed == "sip" and last > now - RECENT:
            raise PermissionError("subscription does not permit querying recent SIP data")


def _check_location(request: Request) -> None:
    if (location := request.path_params.get("loc", "us")) not in LOCATIONS:
        raise BadRequestError(f"invalid location: {location[:100]}")


def _page_json(answer: Page, currency: str | None) -> bytes:
    sections = b",".join(orjson.dumps(symbol) + b":" + to_json(bars) for symbol, bars in answer.bars.items())
    rest: dict[str, object] = {"next_page_token": answer.next.token() if answer.next else None}
    if currency:
        rest["currency"] = currency
    return b'{"bars":{' + sections + b"}," + orjson.dumps(rest)[1:]
