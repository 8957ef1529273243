"""A range of corporate actions from Alpaca into the lake, a file a process date."""

import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.corporate_actions import CorporateActionsRequest, corporate_actions
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.market.bars import SYMBOL_PATTERNS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS, encode
from crypto_platform.market.day_ranges import ONE_DAY

# Actions come late and are amended ("no guarantees on the creation time", https://docs.alpaca.markets/reference/
# corporateactions-1): younger process dates are asked for again by every run.
ASKED_AGAIN = timedelta(days=30)


@dataclass(frozen=True)
class ActionsReport:
    """What an extract of actions did: actions by process date and symbol (zeros said), and what the API was asked."""

    origin: str
    days: dict[date, dict[str, int]]
    pages: int
    requests: int
    retries: dict[str, int]
    seconds: float

    @property
    def actions(self) -> int:
        return sum(sum(symbols.values()) for symbols in self.days.values())


def days_to_ask(days: Iterable[date], start: date, today: date) -> list[date]:
    """The process dates of a run over `days`: these, and after a recent one the `ASKED_AGAIN` before it, from `start`.

    Ascending, without a hole.
    """
    asked = sorted(days)
    if not asked:
        return []
    first, last = asked[0], asked[-1]
    if last > today - ASKED_AGAIN:
        first = min(first, max(start, today - ASKED_AGAIN))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def extract_actions(
    client: AlpacaClient, lake: Lake, feed: str, symbols: tuple[str, ...], days: list[date], run_id: str
) -> ActionsReport:
    """Write every one of `days` (ascending, without a hole) to the lake, each as a whole.

    Memory holds the range's actions: some thousand a year for all of the market.

    Raises:
        AlpacaError: see `AlpacaClient.paged`; the lake is as before.
        LakeDayDamagedError: a day's file, which other symbols are to be kept from, is damaged.
    """
    began = time.monotonic()
    traffic = Traffic()
    found: dict[date, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    # Of the first page, so that nothing counts as known after which nobody looked again.
    observed = datetime.now(UTC)
    request = CorporateActionsRequest(feed, symbols, days[0], days[-1] + ONE_DAY)
    for observation in corporate_actions(client, request, traffic, threading.Event()):
        action = observation.action
        found[_day(action, days)][_section(action, symbols)].append(encode(action))
    counts = {}
    for day in days:
        # Of all that were asked for, so that an action that is no more is not kept.
        lines = dict.fromkeys(symbols, ()) | {symbol: sorted(own) for symbol, own in found[day].items()}
        sections = {symbol: Section(observed, list(own)) for symbol, own in lines.items()}
        lake.write_day(feed, CORPORATE_ACTIONS.name, day, sections, run_id)
        counts[day] = {symbol: len(section.lines) for symbol, section in sorted(sections.items())}
    return ActionsReport(
        origin=client.origin,
        days=counts,
        pages=traffic.pages,
        requests=traffic.requests,
        retries=dict(traffic.retries),
        seconds=time.monotonic() - began,
    )


def _day(action: Mapping[str, Any], days: list[date]) -> date:
    """Where the lake keeps an action: its process date; one without, for the load to reject, on the last day asked."""
    with suppress(TypeError, ValueError):
        return date.fromisoformat(action["process_date"])
    return days[-1]


def _section(action: Mapping[str, Any], symbols: tuple[str, ...]) -> str:
    """Where the lake keeps an action: with its symbol; one of no known form, for the load to reject, with the first."""
    symbol = str(action["symbol"])
    return symbol if re.fullmatch(SYMBOL_PATTERNS["us_equity"], symbol) else symbols[0]
