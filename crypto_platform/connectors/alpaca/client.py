"""Alpaca's bars and other rows, a page at a time, through alpaca-py's own data clients.

What alpaca-py 0.44 lacks is added around it: timeouts, one retry policy for everything that passes by itself,
a shared rate limit, checks of each page against what was asked, and keys that only go where they may.
API facts: https://docs.alpaca.markets/reference/cryptobars-1 and https://docs.alpaca.markets/reference/stockbars.
"""

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import requests
from alpaca.data.enums import CryptoFeed
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import BaseBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.nap import sleep_using_event

from crypto_platform.connectors.alpaca import HELD
from crypto_platform.connectors.alpaca.errors import (
    AlpacaConfigError,
    AlpacaError,
    AlpacaUnavailableError,
    CancelledError,
    NotEntitledError,
    TransientError,
    UnknownSymbolError,
)
from crypto_platform.connectors.alpaca.page import Check, Page, PageCheck, Rows
from crypto_platform.connectors.alpaca.rate import RateLimit
from crypto_platform.connectors.alpaca.request import PAGE_BARS, BarsRequest
from crypto_platform.connectors.alpaca.transport import ResponseStatusError, Transport, check_address
from crypto_platform.connectors.backoff import backoff
from crypto_platform.market.bars import Timeframe
from crypto_platform.settings import Settings

LONGEST_TEXT = 300
RUN_AGAIN = "days already written are whole: run the range again, or raise ALPACA_MAX_ATTEMPTS"

Kind = Literal["crypto", "us_equity", "corporate_actions", "assets"]
_Client = CryptoHistoricalDataClient | StockHistoricalDataClient | CorporateActionsClient | TradingClient
_CLIENTS: dict[Kind, type[_Client]] = {
    "crypto": CryptoHistoricalDataClient,
    "us_equity": StockHistoricalDataClient,
    "corporate_actions": CorporateActionsClient,
    "assets": TradingClient,
}
_Answer = tuple[Rows, str | None, datetime]

log = logging.getLogger(__name__)


@dataclass
class Traffic:
    """What the API was asked: requests sent, pages accepted, and why a page was asked for again."""

    requests: int = 0
    pages: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    seconds_throttled: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, requests: int = 0, pages: int = 0, retry: str | None = None, throttled: float = 0.0) -> None:
        with self._lock:
            self.requests += requests
            self.pages += pages
            self.seconds_throttled += throttled
            if retry:
                self.retries[retry] += 1


@dataclass(frozen=True)
class Query:
    """What is asked page by page for a feed: the endpoint of an API, its parameters, and the same in words."""

    kind: Kind
    feed: str
    path: str
    params: dict[str, Any]
    what: str


class AlpacaClient:
    """Bars of crypto and stocks, and corporate actions, from the address in the settings.

    May be used by several threads at once.

    Raises:
        AlpacaConfigError: the address is not usable, or keys would travel in the clear; nothing was sent.
    """

    def __init__(self, settings: Settings) -> None:
        self.concurrency = settings.alpaca_concurrency
        self._url = settings.alpaca_url.rstrip("/")
        self._trading_url = settings.alpaca_trading_url.rstrip("/")
        self._max_attempts = settings.alpaca_max_attempts
        self._backoff = settings.alpaca_backoff_seconds
        self._max_pages = settings.alpaca_max_pages
        self._timeout = settings.alpaca_timeout_seconds
        self._keys = keys(settings)
        check_address(self._url, self._keys is not None)
        self._rate = RateLimit()
        self._transport = Transport(settings.alpaca_timeout_seconds, self._rate, self.concurrency)
        self._lock = threading.Lock()
        self._clients: dict[Kind, _Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Whose bars the last answer held: Alpaca's, or `recorded` or `simulated` ones of the sandbox server."""
        return self._transport.origin

    def held(self) -> list[str]:
        """What the sandbox server has, a line a symbol and timeframe; nothing when it does not say."""
        try:
            return [
                str(line)
                for line in self._by_transport(requests.Session()).get(self._url + HELD, timeout=self._timeout).json()
            ]
        except (ResponseStatusError, requests.RequestException, ValueError, TypeError):
            return []

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def pages(
        self,
        request: BarsRequest,
        symbols: tuple[str, ...],
        start: datetime,
        end: datetime,
        traffic: Traffic,
        stop: threading.Event,
    ) -> Iterator[Page]:
        """The pages of `symbols` of the request over [start, end), both UTC and on a whole second.

        Each page is checked: only asked symbols, within the range, strictly ascending per symbol over all
        pages, and with a token not met before. One that fails is asked for again like one that did not come.

        Raises:
            AlpacaError, CancelledError: see `paged`.
        """
        path, params = self._query(request, symbols, start, end)
        span = f"[{start:%Y-%m-%dT%H:%M}, {end:%Y-%m-%dT%H:%M})"
        what = f"{_short(', '.join(symbols), 60)} {request.timeframe.name} {span}"
        query = Query(request.asset_class, request.feed, path, params, what)
        check = PageCheck(frozenset(symbols), start, end)
        for bars, observed_at, is_last in self.paged(query, check, traffic, stop):
            yield Page(bars, observed_at, is_last)

    def paged(
        self, query: Query, check: Check, traffic: Traffic, stop: threading.Event
    ) -> Iterator[tuple[Rows, datetime, bool]]:
        """Each page's rows, when it was asked for (UTC), and whether it is the last.

        A page that fails its check is asked for again like one that did not come.

        Raises:
            UnknownSymbolError: Alpaca does not know one of the symbols.
            AlpacaConfigError: the keys are missing or not accepted.
            AlpacaUnavailableError: a page did not come, or not in good order, in all attempts.
            AlpacaError: Alpaca refuses the request, or it has more pages than `ALPACA_MAX_PAGES`.
            CancelledError: `stop` was set.
        """
        what, repeats = query.what, 0
        for _ in range(self._max_pages):
            rows, token, observed_at = self._page(query, check, traffic, stop)
            repeats = repeats + 1 if check.repeats(rows) else 0
            if repeats >= self._max_attempts:
                raise AlpacaUnavailableError(f"Alpaca: {what}: one page came {repeats + 1} times: {RUN_AGAIN}")
            if repeats:
                log.warning("Alpaca: %s: a page came again; passing over it", what)
                traffic.add(retry="repeated page")
                rows = {}
            traffic.add(pages=1)
            check.accept(rows, token)
            yield rows, observed_at, token is None
            if token is None:
                return
            query = replace(query, params={**query.params, "page_token": token})
        raise AlpacaError(
            f"Alpaca: {what} has more than {self._max_pages} pages: ask for fewer days, or raise ALPACA_MAX_PAGES"
        )

    def _page(self, query: Query, check: Check, traffic: Traffic, stop: threading.Event) -> _Answer:
        def attempt() -> _Answer:
            traffic.add(throttled=self._rate.wait(stop))
            if stop.is_set():
                raise CancelledError
            traffic.add(requests=1)
            # A bar that changes while the answer is on its way is newer than the answer.
            asked_at = datetime.now(UTC)
            body = self._get(query)
            return *check(body), asked_at

        def before_sleep(state: RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome else None
            if isinstance(fault, TransientError):
                traffic.add(retry=fault.cause)
                log.warning("Alpaca: %s: %s; asking again (attempt %d)", query.what, fault, state.attempt_number + 1)

        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(self._max_attempts),
            wait=backoff(self._backoff),
            sleep=sleep_using_event(stop),
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except TransientError as fault:
            raise AlpacaUnavailableError(
                f"Alpaca gave no good page for {query.what} in {self._max_attempts} attempts; "
                f"last: {fault}; {RUN_AGAIN}"
            ) from None

    def _get(self, query: Query) -> Any:
        """One answer's JSON; passing faults as `TransientError`, all others as what `paged` raises."""
        try:
            return self._client(query).get(query.path, query.params)
        except ResponseStatusError as refused:
            raise self._explained(refused, query) from None
        except requests.Timeout as exc:
            raise TransientError("timeout", f"no answer in time ({self._clean(_reason(exc), 150)})") from None
        except json.JSONDecodeError as exc:
            raise TransientError("not JSON", f"not JSON: {self._clean(exc.doc, 80)!r}") from None
        except (UnicodeDecodeError, RecursionError) as exc:
            raise TransientError("not JSON", f"not JSON: {type(exc).__name__}") from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as exc:
            raise TransientError("cut body", f"the answer was cut short ({self._clean(exc, 120)})") from None
        except requests.ConnectionError as exc:
            raise TransientError(
                "connection", f"no connection to {self._url} ({self._clean(_reason(exc), 150)})"
            ) from None
        except requests.RequestException as exc:
            raise AlpacaError(f"Alpaca: {query.what}: {self._clean(exc)}") from None

    def _explained(self, refused: ResponseStatusError, query: Query) -> Exception:
        what = query.what
        status, said = refused.status, self._clean(_message(str(refused)), 150)
        if status in (408, 429) or status >= 500:
            return TransientError(str(status), f"HTTP {status}: {said!r}")
        if status == 400 and (unknown := re.match(r"invalid symbol: (\S{1,40})", said)):
            return UnknownSymbolError(
                unknown[1],
                f"Alpaca does not know the symbol {unknown[1]!r} ({what}): correct `symbols` in "
                f"crypto_platform/defs/{query.feed}/defs.yaml",
            )
        if status in (401, 403):
            refusal = NotEntitledError if "subscription" in said else AlpacaConfigError
            return refusal(
                f"Alpaca refuses {what} with HTTP {status}: {said!r}. Check APCA_API_KEY_ID and "
                f"APCA_API_SECRET_KEY, and that their plan includes the feed's alpaca_feed and range"
            )
        if 300 <= status < 400:
            return AlpacaConfigError(
                f"{self._url} redirects to {said!r}, and keys do not follow: "
                "set APCA_API_DATA_URL to the address itself"
            )
        return AlpacaError(f"Alpaca refuses {what} with HTTP {status}: {said!r}")

    def _query(
        self, request: BarsRequest, symbols: tuple[str, ...], start: datetime, end: datetime
    ) -> tuple[str, dict[str, Any]]:
        query = BaseBarsRequest(
            symbol_or_symbols=list(symbols),
            timeframe=_timeframe(request.timeframe),
            start=start,
            # Both ends are inclusive in the API, and a bar starts on a whole second.
            end=end - timedelta(seconds=1),
            limit=PAGE_BARS,
        ).to_request_fields()
        if request.asset_class == "crypto":
            return f"/crypto/{CryptoFeed.US.value}/bars", query
        # By itself Alpaca takes a symbol for the company that has it today, and an old day would be another company's
        # than when it was first asked for. "-" is each day's: the symbol alone, whatever it meant before and after.
        extra = {"feed": request.alpaca_feed, "adjustment": request.adjustment, "asof": "-"}
        return "/stocks/bars", {**query, **{name: value for name, value in extra.items() if value}}

    def _client(self, query: Query) -> _Client:
        with self._lock:
            if query.kind not in self._clients:
                self._clients[query.kind] = self._new_client(query)
            return self._clients[query.kind]

    def _new_client(self, query: Query) -> _Client:
        if query.kind != "crypto" and not self._keys:
            what = "assets" if query.kind == "assets" else "stock data"
            raise AlpacaConfigError(
                f"feed {query.feed}: Alpaca's {what} need a key: set APCA_API_KEY_ID and APCA_API_SECRET_KEY"
            )
        key, secret = self._keys or (None, None)
        url = self._url
        if query.kind == "assets":
            url = self._trading_url
            check_address(url, has_keys=True, setting="APCA_API_BASE_URL")
        client = _CLIENTS[query.kind](key, secret, raw_data=True, url_override=url)
        # alpaca-py offers no way to give it a transport; its session is the one private member used here.
        self._by_transport(client._session)
        return client

    def _by_transport(self, session: requests.Session) -> requests.Session:
        """The session, whose requests the client's own transport sends from now on."""
        for scheme in ("https://", "http://"):
            session.mount(scheme, self._transport)
        return session

    def _clean(self, text: object, length: int = LONGEST_TEXT) -> str:
        """`text` on one line, short, and without the keys."""
        plain = str(text)
        for key in self._keys or ():
            plain = plain.replace(key, "***")
        return _short(" ".join(plain.split()), length)


def keys(settings: Settings) -> tuple[str, str] | None:
    """Key and secret to send, if any. The embedded sandbox is never shown the real ones."""
    if settings.apca_api_data_url is None:
        return "sandbox", "sandbox"
    key, secret = settings.apca_api_key_id, settings.apca_api_secret_key
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        raise AlpacaConfigError("set both APCA_API_KEY_ID and APCA_API_SECRET_KEY, or neither")
    return key.get_secret_value(), secret.get_secret_value()


def _message(body: str) -> str:
    """Alpaca's `{"message": …}`, or the body itself."""
    found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', body)
    return found[1] if found else body


def _reason(error: requests.RequestException) -> object:
    """What lies under requests' and urllib3's wrapping, which would fill the message with the whole query."""
    inner = error.args[0] if error.args else error
    return getattr(inner, "reason", inner)


def _timeframe(timeframe: Timeframe) -> TimeFrame:
    if timeframe.is_daily:
        return TimeFrame(1, TimeFrameUnit.Day)
    minutes = timeframe.seconds // 60
    return TimeFrame(1, TimeFrameUnit.Hour) if minutes == 60 else TimeFrame(minutes, TimeFrameUnit.Minute)


def _short(text: str, length: int = LONGEST_TEXT) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
