"""A range of bars from Alpaca into the lake, a file a day."""

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from operator import itemgetter

from crypto_platform.connectors.alpaca import RECORDED
from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.contract import Drift, FieldsSeen
from crypto_platform.connectors.alpaca.errors import AlpacaError, NothingRecordedError
from crypto_platform.connectors.alpaca.page import Page
from crypto_platform.connectors.alpaca.plan import FetchPlan, pages_of_known, plan
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.ingestion.universe import Members
from crypto_platform.market.bars import encode, line_prefix
from crypto_platform.market.feed_spec import named
from crypto_platform.market.market_days import running_bar
from crypto_platform.market.sessions import trading_hours

__all__ = ["BarsRequest", "ExtractReport", "Progress", "extract"]

# (days written, days of the range, bars written)
Progress = Callable[[int, int, int], None]

ONE_DAY = timedelta(days=1)
# Recordings that an error names at most.
LISTED = 20


@dataclass(frozen=True)
class ExtractReport:
    """What an extract did: bars by day and symbol (zeros said), and what the API was asked for it.

    `origin`: Alpaca, or what stood in for it.
    `complete_until` (UTC): every bar that begins before it was over and asked for, no later one was; it lies in the
    last day of the range or before when that day was not over yet, else at the range's end.
    `drift`: how the bars' fields differ from what was agreed on.
    `unknown`: members of a universe that Alpaca does not know.
    """

    feed: str
    origin: str
    days: dict[date, dict[str, int]]
    complete_until: datetime
    pages: int
    requests: int
    retries: dict[str, int]
    seconds: float
    seconds_throttled: float
    drift: Drift
    unknown: tuple[str, ...] = ()

    @property
    def bars(self) -> int:
        return sum(sum(symbols.values()) for symbols in self.days.values())

    @property
    def bars_per_second(self) -> float:
        return self.bars / self.seconds if self.seconds else 0.0


def extract(
    client: AlpacaClient,
    lake: Lake,
    request: BarsRequest,
    run_id: str,
    progress: Progress | None = None,
    members: Members | None = None,
) -> ExtractReport:
    """Write every day of the request's range to the lake, each as soon as all its symbols are there.

    Streams of symbols are fetched side by side and kept close to one another: memory does not grow with the
    range. A bar that has not ended yet is left out (`ExtractReport.complete_until`). After an error the days
    already written are whole and the others are as before: the same call again completes them.

    `members`: the symbols to keep of each day, where they are not the request's on all; one of them that Alpaca does
    not know is left out (`ExtractReport.unknown`) and the others go on.

    Recordings that have no bar at all of a range with a session are refused, and the lake is as before.

    Raises:
        ValueError: the range goes beyond today (UTC).
        NothingRecordedError: see above; it says what they have.
        AlpacaError: see `AlpacaClient.pages`.
        LakeDayDamagedError: a day's file, which other symbols are to be kept from, is damaged.
    """
    began = time.monotonic()
    now = datetime.now(UTC)
    if request.end > now.date() + ONE_DAY:
        raise ValueError(f"feed {request.feed}: {request.end - ONE_DAY} has not begun yet (UTC): end the range earlier")
    complete_until = min(_midnight(request.end), running_bar(request.asset_class, request.timeframe, now))

    chosen = plan(request, client.concurrency)
    traffic = Traffic()
    fields = FieldsSeen()
    streams = [
        _Stream(client, request, group, chosen, complete_until, traffic, fields, may_lack=members is not None)
        for group in chosen.groups
    ]
    days: dict[date, dict[str, int]] = {}
    bars = 0
    total = (request.end - request.start).days
    # Recorded days without a bar: whether they are empty or the recordings are others, the first bar tells.
    waiting: dict[date, dict[str, Section]] = {}
    with _Fetching(streams, client.concurrency, request, chosen.ahead_days) as fetching:
        for day, fetched in fetching.days():
            sections = fetched if members is None else {s: fetched[s] for s in members[day] if s in fetched}
            days[day] = {symbol: len(section.lines) for symbol, section in sorted(sections.items())}
            bars += sum(days[day].values())
            waiting[day] = sections
            if bars or client.origin != RECORDED:
                _write(lake, request, waiting, run_id)
            if progress:
                progress(len(days), total, bars)
    if waiting and _has_session(request, complete_until):
        raise NothingRecordedError(_nothing(request, client.held()))
    _write(lake, request, waiting, run_id)
    return ExtractReport(
        feed=request.feed,
        origin=client.origin,
        days=days,
        complete_until=complete_until,
        pages=traffic.pages,
        requests=traffic.requests,
        retries=dict(traffic.retries),
        seconds=time.monotonic() - began,
        seconds_throttled=traffic.seconds_throttled,
        drift=fields.drift(),
        unknown=tuple(sorted(symbol for stream in streams for symbol in stream.unknown)),
    )


def _write(lake: Lake, request: BarsRequest, waiting: dict[date, dict[str, Section]], run_id: str) -> None:
    while waiting:
        day = next(iter(waiting))
        lake.write_day(request.feed, request.timeframe.name, day, waiting.pop(day), run_id)


def _has_session(request: BarsRequest, until: datetime) -> bool:
    for number in range((request.end - request.start).days):
        try:
            hours = trading_hours(request.asset_class, request.start + timedelta(days=number))
        except ValueError:  # beyond the calendar
            continue
        if hours and hours[0] < until:
            return True
    return False


def _nothing(request: BarsRequest, held: list[str]) -> str:
    more = f"; and {len(held) - LISTED} more" if len(held) > LISTED else ""
    return (
        f"the recordings have no {request.timeframe.name} bar of {named(request.symbols)} in "
        f"[{request.start}, {request.end}). They hold {'; '.join(held[:LISTED]) or 'nothing that is known'}{more}. "
        "Choose days of theirs, or a timeframe that the feed's is a multiple of. `crypto-platform materialize` takes "
        "other bars with --recordings, simulated ones with --simulated, and Alpaca's with --live"
    )


class _Stream:
    """A group of symbols on its way through the range; `past`: all days before it are there."""

    def __init__(
        self,
        client: AlpacaClient,
        request: BarsRequest,
        symbols: tuple[str, ...],
        chosen: FetchPlan,
        until: datetime,
        traffic: Traffic,
        fields: FieldsSeen,
        may_lack: bool,
    ) -> None:
        self.symbols = symbols
        self.unknown: set[str] = set()
        self._may_lack = may_lack
        self.past = request.start
        self.stop = threading.Event()
        self._client, self._request, self._plan = client, request, chosen
        self._until, self._traffic, self._fields = until, traffic, fields
        self._prefixes = {symbol: line_prefix(symbol, request.timeframe.name) for symbol in symbols}
        self._sections: dict[date, dict[str, Section]] = defaultdict(dict)
        self._steps = self._walk()

    def advance(self) -> date:
        """Fetch one page; returns the day that the stream is past now."""
        return next(self._steps)

    def pop(self, day: date) -> dict[str, Section]:
        """The sections of a day that the stream is past."""
        return self._sections.pop(day)

    def _walk(self) -> Iterator[date]:
        for start, end in self._plan.windows(self._request.start, self._request.end):
            first, until = _midnight(start), min(_midnight(end), self._until)
            past = start
            if first >= until:
                self._count_zeros(past, end, datetime.now(UTC))
                yield end
                continue
            for page in self._pages(first, until):
                newest = self._take(page)
                if page.last:
                    reached = end
                elif newest and len(self.symbols) == 1:
                    reached = newest
                else:
                    reached = past
                self._count_zeros(past, reached, page.observed_at)
                past = reached
                yield past

    def _pages(self, first: datetime, until: datetime) -> Iterator[Page]:
        if not self._may_lack:
            yield from self._client.pages(self._request, self.symbols, first, until, self._traffic, self.stop)
            return
        known = list(self.symbols)
        for page in pages_of_known(self._client, self._request, known, first, until, self._traffic, self.stop):
            self._know(known)
            yield page
        self._know(known)
        if not known:
            yield Page({}, datetime.now(UTC), last=True)

    def _know(self, known: list[str]) -> None:
        self.unknown.update(set(self.symbols) - set(known))
        self.symbols = tuple(known)

    def _take(self, page: Page) -> date | None:
        """Keep the page's bars as wire lines by day; returns the newest day."""
        newest = None
        self._fields.note(page.bars)
        for symbol, bars in page.bars.items():
            prefix = self._prefixes[symbol]
            first = 0
            while first < len(bars):
                day = date.fromisoformat(bars[first]["t"][:10])
                last = bisect_left(bars, (day + ONE_DAY).isoformat(), lo=first, key=itemgetter("t"))
                try:
                    lines = [encode(prefix, bar) for bar in bars[first:last]]
                except TypeError as exc:  # a number beyond 64 bits, half a surrogate pair
                    raise AlpacaError(f"Alpaca: a bar of {symbol} on {day} cannot be kept: {exc}") from None
                earlier = self._sections[day].get(symbol)
                self._sections[day][symbol] = Section(page.observed_at, earlier.lines + lines if earlier else lines)
                first = last
                newest = max(newest or day, day)
        return newest

    def _count_zeros(self, start: date, end: date, observed_at: datetime) -> None:
        for number in range((end - start).days):
            sections = self._sections[start + timedelta(days=number)]
            for symbol in self.symbols:
                sections.setdefault(symbol, Section(observed_at, []))


class _Fetching:
    """Threads that advance the stream furthest behind, while days are taken as they complete."""

    def __init__(self, streams: list[_Stream], concurrency: int, request: BarsRequest, ahead_days: int) -> None:
        self._streams = streams
        self._idle = list(streams)
        self._day, self._end = request.start, request.end
        self._ahead = timedelta(days=ahead_days)
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        for stream in streams:
            stream.stop = self._stop
        # Daemons: after an error none may keep the process for the answer it still waits for.
        self._threads = [
            threading.Thread(target=self._work, name=f"alpaca-{number}", daemon=True)
            for number in range(min(concurrency, len(streams)))
        ]

    def __enter__(self) -> "_Fetching":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stop.set()
            self._changed.notify_all()

    def days(self) -> Iterator[tuple[date, dict[str, Section]]]:
        """Each day in order with the sections of all symbols, as soon as every stream is past it."""
        while self._day < self._end:
            with self._changed:
                self._changed.wait_for(lambda: self._error or min(s.past for s in self._streams) > self._day)
                if self._error:
                    raise self._error
            sections: dict[str, Section] = {}
            for stream in self._streams:
                sections |= stream.pop(self._day)
            yield self._day, sections
            with self._changed:
                self._day += ONE_DAY
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            while stream := self._slowest():
                past = stream.advance()
                with self._changed:
                    stream.past = past
                    if past < self._end:
                        self._idle.append(stream)
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._stop.set()
                self._changed.notify_all()

    def _slowest(self) -> _Stream | None:
        """The stream to advance next, once one is near enough to the day being written; None at the end."""
        with self._changed:
            while not self._stop.is_set():
                near = [s for s in self._idle if s.past < self._day + self._ahead]
                if near:
                    stream = min(near, key=lambda s: s.past)
                    self._idle.remove(stream)
                    return stream
                if all(s.past >= self._end for s in self._streams):
                    return None
                self._changed.wait()
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, clock.min, UTC)
