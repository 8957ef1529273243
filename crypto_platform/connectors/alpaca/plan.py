"""Which symbols are asked for together, over how many days: full pages, bounded memory."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.errors import UnknownSymbolError
from crypto_platform.connectors.alpaca.page import Page
from crypto_platform.connectors.alpaca.request import PAGE_BARS, BarsRequest
from crypto_platform.market.bars import SECONDS_A_DAY

HELD_BARS = 500_000  # bars that may be ahead of the day being written: some 100 MB
LONGEST_GROUP = 200  # symbols, so that the address stays short enough for every proxy


@dataclass(frozen=True)
class FetchPlan:
    """`groups` of symbols, each a stream of its own that is asked for in windows of `window_days`.

    `ahead_days`: how many days a stream may be ahead of the day that is being written.
    """

    groups: tuple[tuple[str, ...], ...]
    window_days: int
    ahead_days: int

    def windows(self, start: date, end: date) -> Iterator[tuple[date, date]]:
        """[start, end) in windows, half-open too."""
        while start < end:
            after = min(start + timedelta(days=self.window_days), end)
            yield start, after
            start = after


def plan(request: BarsRequest, concurrency: int) -> FetchPlan:
    """A stream a symbol when each fills pages of its own, else symbols together in as few pages as they fill.

    Answers come sorted by symbol, then time: only a stream of one symbol finishes days as it goes, one of
    several symbols at the end of each window.
    """
    symbols = tuple(sorted(request.symbols))
    days = (request.end - request.start).days
    bars_a_day = SECONDS_A_DAY // request.timeframe.seconds
    ahead = max(1, HELD_BARS // (len(symbols) * bars_a_day))
    if min(days, ahead) * bars_a_day >= PAGE_BARS:
        return FetchPlan(tuple((symbol,) for symbol in symbols), days, ahead)
    window = min(days, ahead)
    pages = ceil(len(symbols) * window * bars_a_day / PAGE_BARS)
    count = max(min(concurrency, pages, len(symbols)), ceil(len(symbols) / LONGEST_GROUP))
    return FetchPlan(tuple(symbols[i::count] for i in range(count)), window, ahead)


def pages_of_known(
    client: AlpacaClient,
    request: BarsRequest,
    symbols: list[str],
    start: datetime,
    end: datetime,
    traffic: Traffic,
    stop: threading.Event,
) -> Iterator[Page]:
    """`AlpacaClient.pages` of those of `symbols` that Alpaca knows; the others are taken out of the list."""
    while symbols:
        try:
            yield from client.pages(request, tuple(symbols), start, end, traffic, stop)
            return
        except UnknownSymbolError as error:
            # Said of a request before its first page.
            if error.symbol not in symbols:
                raise
            symbols.remove(error.symbol)
