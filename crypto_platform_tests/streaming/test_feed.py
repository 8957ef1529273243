"""A feed beside a stream and a REST that do as the test says, in a time that the test moves."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest

from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.alpaca.errors import AlpacaUnavailableError, UnknownSymbolError
from crypto_platform.connectors.alpaca.page import Page
from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.market.bars import BARS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.streaming import feed as live
from crypto_platform.streaming.client import endpoint
from crypto_platform.streaming.clock import MarketClock
from crypto_platform.streaming.feed import LiveFeed
from crypto_platform.streaming.metrics import StreamMetrics
from crypto_platform_tests.connectors.alpaca.conftest import settings_for
from crypto_platform_tests.streaming.conftest import crypto, stocks

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAGE = 100
LIMIT = 10**8


class Clock(MarketClock):
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.time = now
        self.speed = 1e6

    def now(self) -> datetime:
        return self.time


class Wire:
    """The stream's end of a connection."""

    def __init__(self, hear: Callable[[dict[str, Any]], None], subscribed: Callable[[dict[str, Any]], None]) -> None:
        self.hear = hear
        self.subscribed = subscribed
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """It always can be."""

    async def listen(self) -> None:
        await self.ended

    async def close(self) -> None:
        """Nothing to let go of."""

    def cut(self) -> None:
        if not self.ended.done():
            self.ended.set_exception(OSError("cut"))


@dataclass
class Market:
    """A feed with both ends in the test's hands."""

    feed: LiveFeed
    clock: Clock
    spool: Spool
    metrics: StreamMetrics
    rest: dict[str, dict[datetime, dict[str, Any]]] = field(default_factory=dict)
    fails_after: int | None = None
    unknown: str | None = None
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    most_known: int = 0
    feeds: set[str | None] = field(default_factory=set)
    looks: int = 0
    looked: bool = False

    def trade(self, start: datetime, close: float = 1.5, symbol: str = "BTC/USD") -> dict[str, Any]:
        """A bar that REST has from now on."""
        bar = {"o": 1.0, "h": 2.0, "l": 0.5, "c": close, "v": 3, "n": 2, "vw": 1.25}
        self.rest.setdefault(symbol, {})[start] = bar
        return bar

    def pages(self, symbols: tuple[str, ...], start: datetime, end: datetime) -> Iterator[Page]:
        self.asked.append((start, end))
        if self.unknown in symbols:
            raise UnknownSymbolError(str(self.unknown), f"Alpaca does not know the symbol {self.unknown!r}")
        for number, (symbol, bars) in enumerate((s, b) for s in symbols for b in self._parts(s, start, end)):
            if number == self.fails_after:
                raise AlpacaUnavailableError("away")
            yield Page({symbol: bars}, datetime.now(UTC), last=False)
            self.most_known = max(self.most_known, len(self.feed._published))
        if self.fails_after == 0:
            raise AlpacaUnavailableError("away")

    def _parts(self, symbol: str, start: datetime, end: datetime) -> Iterator[list[dict[str, Any]]]:
        bars = sorted((t, bar) for t, bar in self.rest.get(symbol, {}).items() if start <= t < end)
        told = [{"t": t.strftime("%Y-%m-%dT%H:%M:%SZ"), **bar} for t, bar in bars]
        yield from (told[n : n + PAGE] for n in range(0, len(told), PAGE))

    def sweep(self) -> bool:
        return asyncio.run(self.feed.sweep())

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.feed.run())
        try:
            await until(lambda: self.feed.connected)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hear(self, start: datetime, bar: dict[str, Any], kind: str = "b", symbol: str = "BTC/USD") -> None:
        await until(lambda: self.feed.connected)
        self.wires[-1].hear({"T": kind, "S": symbol, "t": msgpack.Timestamp.from_datetime(start), **bar})
        await asyncio.sleep(0)

    async def tell(self, at: Any, code: str, symbol: str = "AAPL") -> None:
        """A trading status of tape C."""
        at = msgpack.Timestamp.from_datetime(at) if isinstance(at, datetime) else at
        self.wires[-1].hear({"T": "s", "S": symbol, "sc": code, "sm": "?", "rc": "T1", "rm": "?", "t": at, "z": "C"})
        await asyncio.sleep(0)

    def statuses(self) -> list[tuple[str, str]]:
        """Time and code of the statuses that were published, in their order."""
        told = [m for _, m in self.spool.after(0, 10**6) if m.dataset is TRADING_STATUSES]
        return [(orjson.loads(m.value)["t"], orjson.loads(m.value)["sc"]) for m in told]

    async def swept(self) -> bool:
        """Wait for a look by REST that begins from now on; whether it came to its end."""
        begun = self.looks
        await until(lambda: self.looks > begun + 1)
        return self.looked

    async def connected_again(self) -> None:
        before = len(self.wires)
        await until(lambda: len(self.wires) > before and self.feed.connected)

    def published(self, source: str | None = None) -> Counter[datetime]:
        """How often each bar was."""
        told = [m for _, m in self.spool.after(0, 10**6) if m.feed == self.feed.name and source in (None, m.source)]
        told = [m for m in told if m.dataset is BARS]
        return Counter(datetime.fromisoformat(orjson.loads(m.value)["t"]) for m in told)


class Box:
    """An outbox that sends nothing."""

    def __init__(self, spool: Spool) -> None:
        self.put = spool.put


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Market]]:
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)

    def make(spec: FeedSpec | None = None, now: datetime = NOON, spool: Spool = spool, **changes: Any) -> Market:
        settings = settings_for("http://127.0.0.1:1", crypto_platform_home=tmp_path, **changes)
        clock, metrics = Clock(now), StreamMetrics()
        feed = LiveFeed("made", spec or crypto("BTC/USD"), settings, Box(spool), clock, metrics)  # type: ignore[arg-type]
        made = Market(feed, clock, spool, metrics)

        def wire(_settings: Any, _spec: Any, hear: Any, subscribed: Any, _statuses: bool) -> Wire:
            made.wires.append(Wire(hear, subscribed))
            return made.wires[-1]

        def pages(_client: Any, request: Any, symbols: Any, start: datetime, end: datetime, *_: Any) -> Iterator[Page]:
            made.feeds.add(request.alpaca_feed)
            return made.pages(symbols, start, end)

        async def sweep(feed: LiveFeed) -> bool:
            made.looked = await a_sweep(feed)
            made.looks += 1
            return made.looked

        a_sweep = LiveFeed.sweep
        monkeypatch.setattr(LiveFeed, "sweep", sweep)
        monkeypatch.setattr(live, "live_stream", wire)
        monkeypatch.setattr(live, "_TICK", 0.002)
        monkeypatch.setattr(live, "LONGEST_SECONDS", 0.002)
        monkeypatch.setattr(AlpacaClient, "pages", pages)
        return made

    yield make
    spool.close()


def filler(size: int) -> Message:
    return Message("other", "BTC/USD", b"x" * size, "stream", NOON)


def test_a_bar_that_found_the_spool_full_is_given_by_rest_once_there_is_room(
    market: Callable[..., Market], tmp_path: Path
) -> None:
    made = market(spool=Spool(tmp_path / "small.sqlite", LIMIT_OF_SMALL))
    made.spool.put([filler(950)])
    start = NOON - MINUTE

    async def heard() -> None:
        async with made.streaming():
            bar = made.trade(start)
            await made.hear(start, bar)
            made.clock.time += 5 * MINUTE
            # REST's own way is closed as well.
            assert not await made.swept()

    asyncio.run(heard())
    assert made.published() == {}
    assert "STREAM_SPOOL_MB" in (made.feed.problem or "")
    made.spool.remove([number for number, _ in made.spool.after(0, 10)])
    assert made.sweep()
    assert made.published() == {start: 1}
    assert made.feed.verified == NOON + 3 * MINUTE


def test_a_bar_that_the_disk_did_not_take_is_given_by_rest(
    market: Callable[..., Market], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = market()
    start = NOON - MINUTE

    def put(_messages: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def heard() -> None:
        async with made.streaming():
            await until(lambda: made.asked)
            with monkeypatch.context() as broken:
                broken.setattr(made.feed._outbox, "put", put)
                await made.hear(start, made.trade(start))
                assert "disk is full" in (made.feed.problem or "")
            made.clock.time += MINUTE
            assert await made.swept()

    asyncio.run(heard())
    assert made.published() == {start: 1}


def test_a_day_of_bars_is_published_once_and_not_kept(market: Callable[..., Market]) -> None:
    made = market(crypto("BTC/USD", "ETH/USD"))
    for symbol in ("BTC/USD", "ETH/USD"):
        for n in range(720):
            made.trade(NOON - (n + 1) * MINUTE, symbol=symbol)
    made.clock.time += MINUTE
    # It comes as far as ETH/USD's second page, then again as far.
    for fails_after in (10, 10, None):
        made.fails_after = fails_after
        assert made.sweep() == (fails_after is None)
    assert set(made.published().values()) == {2}
    assert len(made.published()) == 720
    assert made.most_known < 10
    made.clock.time += MINUTE
    assert made.sweep()
    assert sum(made.published().values()) == 1440


def test_while_rest_is_away_the_streams_bars_are_not_kept_for_ever(market: Callable[..., Market]) -> None:
    made = market(stream_reconcile_interval_seconds=300)
    made.sweep()
    made.fails_after = 0

    async def hours() -> None:
        async with made.streaming():
            for n in range(180):
                made.clock.time = NOON + n * MINUTE
                start = made.clock.time - MINUTE
                await made.hear(start, made.trade(start))
                assert not await made.swept()

    asyncio.run(hours())
    assert len(made.feed._published) < 20
    made.fails_after = None
    made.clock.time += MINUTE
    assert made.sweep()
    told = made.published()
    assert len(told) == 180
    made.clock.time += MINUTE
    assert made.sweep()
    assert made.published() == told


def test_a_bar_that_comes_long_after_rest_told_it_for_good_is_no_news(market: Callable[..., Market]) -> None:
    made = market()
    start = NOON - 30 * MINUTE
    made.trade(start)

    async def late() -> None:
        async with made.streaming():
            await until(lambda: made.published())
            await made.hear(start, {**made.rest["BTC/USD"][start], "v": 1})

    asyncio.run(late())
    assert made.published("rest") == {start: 1}
    assert made.published("stream") == {}


def test_a_stream_that_connects_and_says_nothing_is_unwell_until_a_bar_comes(market: Callable[..., Market]) -> None:
    made = market()

    async def hours() -> None:
        async with made.streaming():
            assert made.feed.is_well
            for _ in range(60):
                made.clock.time += timedelta(minutes=3)
                await made.connected_again()
                assert await made.swept()
                assert not made.feed.is_well
                assert made.feed.problem
            assert made.feed.health()["silence_seconds"] == 180 * 60
            await made.hear(made.clock.time - MINUTE, made.trade(made.clock.time - MINUTE))
            assert made.feed.is_well
            assert made.feed.health()["silence_seconds"] == 0

    asyncio.run(hours())


def test_a_stream_that_is_cut_again_and_again_is_unwell_whatever_rest_gives(market: Callable[..., Market]) -> None:
    made = market()

    async def cuts() -> None:
        async with made.streaming():
            for n in range(5):
                made.wires[-1].cut()
                await made.connected_again()
                assert await made.swept()
                # Once is nothing to tell.
                assert made.feed.is_well == (n == 0)
            await made.hear(NOON - MINUTE, made.trade(NOON - MINUTE))
            assert made.feed.is_well

    asyncio.run(cuts())


def test_a_cut_at_night_is_over_with_the_next_connection(market: Callable[..., Market]) -> None:
    made = market(stocks(), now=NOON.replace(hour=2))

    async def cuts() -> None:
        async with made.streaming():
            for _ in range(3):
                made.wires[-1].cut()
                await made.connected_again()
            assert made.feed.is_well

    asyncio.run(cuts())


def test_symbols_that_never_come_stay_said(market: Callable[..., Market]) -> None:
    made = market(crypto("BTC/USD", "ETH/USD"))

    async def subscribed() -> None:
        async with made.streaming():
            made.wires[-1].subscribed({"T": "subscription", "bars": ["BTC/USD"]})
            assert await made.swept()
            await made.hear(NOON - MINUTE, made.trade(NOON - MINUTE))
            assert made.feed.problem == "Alpaca's stream does not give 1 of the symbols: ETH/USD"
            made.wires[-1].subscribed({"T": "subscription", "bars": ["BTC/USD", "ETH/USD"]})
            assert made.feed.is_well

    asyncio.run(subscribed())


def test_a_symbol_that_rest_does_not_know_stays_said_and_holds_up_no_other(market: Callable[..., Market]) -> None:
    made = market(crypto("BTC/USD", "NO/USD"))
    made.trade(NOON - 2 * MINUTE)
    made.unknown = "NO/USD"
    assert not made.sweep()
    assert made.sweep()
    assert made.published() == {NOON - 2 * MINUTE: 1}
    assert "NO/USD" in (made.feed.problem or "")


def test_only_whole_quarters_come_by_the_stream_and_rest_gives_the_others(market: Callable[..., Market]) -> None:
    made = market(stocks("AAPL"), now=NOON + 180 * MINUTE)
    began = made.clock.time
    quarter = 15 * MINUTE
    made.clock.time += 2 * MINUTE
    for n in range(-4, 6):
        made.trade(began + n * quarter, symbol="AAPL")

    async def session() -> None:
        async with made.streaming():
            for n in range(3, 63):
                made.clock.time = began + (n + 1) * MINUTE
                await made.hear(began + n * MINUTE, made.rest["AAPL"][began], symbol="AAPL")
                if n == 40:
                    made.wires[-1].cut()
                    await made.connected_again()
            assert made.published("stream") == {began + quarter: 1, began + 3 * quarter: 1}
            made.clock.time = began + 10 * quarter
            assert await made.swept()
            assert len(made.feed._rollup or ()) == 0

    asyncio.run(session())
    assert set(made.published("rest")) >= {began, began + 2 * quarter}


def test_the_newest_bar_stays_the_newest_when_an_older_one_is_updated(market: Callable[..., Market]) -> None:
    made = market()

    async def updated() -> None:
        async with made.streaming():
            for start, kind in ((NOON - MINUTE, "b"), (NOON - 2 * MINUTE, "u")):
                await made.hear(start, made.trade(start), kind)

    asyncio.run(updated())
    labels = {"feed": "made", "symbol": "BTC/USD"}
    newest = made.metrics.registry.get_sample_value("crypto_platform_stream_last_bar_start_seconds", labels)
    assert newest == (NOON - MINUTE).timestamp()


def test_rest_is_asked_for_the_streams_feed_and_only_for_what_it_has_for_good(market: Callable[..., Market]) -> None:
    spec = stocks("AAPL").model_copy(update={"alpaca_feed": None, "vendor_delay_minutes": 16})
    made = market(spec, now=NOON + 5 * MINUTE)
    assert made.sweep()
    ((_, end),) = made.asked
    # The quarter that ended at 11:45 is final at 12:01.
    assert end == made.feed.verified == NOON - 15 * MINUTE
    assert made.feeds == {"iex"}
    assert endpoint(settings_for("http://127.0.0.1:1"), spec).endswith("/v2/iex")


OPEN = NOON + 180 * MINUTE
BAR = {"o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 3, "n": 2, "vw": 1.25}
HALTED, QUOTED, RESUMED = "H", "Q", "T"
LIMIT_OF_SMALL = 1000


def test_every_status_is_published_as_alpaca_sent_it(market: Callable[..., Market], tmp_path: Path) -> None:
    made = market(stocks("AAPL"), now=OPEN, spool=Spool(tmp_path / "small.sqlite", LIMIT_OF_SMALL))

    async def told() -> None:
        async with made.streaming():
            await made.tell(OPEN, HALTED)
            # Once more, of a code and a time that the load rejects, and of a symbol that the feed does not have.
            await made.tell(OPEN, HALTED)
            await made.tell("today", "!")
            await made.tell(OPEN, HALTED, symbol="SPY")
            await until(lambda: len(made.statuses()) == 3)
            # REST has no statuses: what finds the spool full waits for room.
            made.spool.put([filler(LIMIT_OF_SMALL - made.spool.bytes)])
            await made.tell(OPEN + MINUTE, RESUMED)
            await until(lambda: made.feed.problem)
            made.spool.remove([number for number, m in made.spool.after(0, 10) if m.feed == "other"])
            await until(lambda: len(made.statuses()) == 4)

    asyncio.run(told())
    assert [(at[11:19], code) for at, code in made.statuses()] == [
        ("15:00:00", HALTED),
        ("15:00:00", HALTED),
        ("", "!"),
        ("15:01:00", RESUMED),
    ]
    value = made.metrics.registry.get_sample_value
    assert value("crypto_platform_stream_trading_statuses_total", {"feed": "made"}) == 4
    assert not value("crypto_platform_stream_dropped_bars_total", {"feed": "made"})


def test_a_stream_is_not_idle_while_all_its_symbols_are_halted(market: Callable[..., Market]) -> None:
    made = market(stocks("AAPL", "SPY"), now=OPEN)
    since = made.metrics.registry.get_sample_value

    async def halts() -> None:
        async with made.streaming():
            await made.tell(OPEN, HALTED)
            made.clock.time += 4 * MINUTE
            # The other one trades, and says nothing.
            await made.connected_again()
            assert made.feed.health()["silence_seconds"] == 240
            await made.tell(OPEN + 4 * MINUTE, HALTED, symbol="SPY")
            connections = len(made.wires)
            made.clock.time += 60 * MINUTE
            await made.swept()
            assert len(made.wires) == connections
            assert made.feed.is_well, made.feed.problem
            state = made.feed.health()
            assert state["halted"] == {"AAPL": OPEN.isoformat(), "SPY": (OPEN + 4 * MINUTE).isoformat()}
            assert state["silence_seconds"] == 0
            labels = {"feed": "made", "symbol": "AAPL"}
            assert since("crypto_platform_stream_halted_since_seconds", labels) == OPEN.timestamp()
            # Quotations are no trading. From the resumption on a bar has its time to come.
            await made.tell(made.clock.time, QUOTED)
            assert made.feed.health()["silence_seconds"] == 0
            await made.tell(made.clock.time, RESUMED)
            assert since("crypto_platform_stream_halted_since_seconds", labels) == 0
            made.clock.time += 2 * MINUTE
            assert made.feed.health()["silence_seconds"] == 60
            assert list(made.feed.health()["halted"]) == ["SPY"]
            made.clock.time += 2 * MINUTE
            await made.connected_again()
            assert not made.feed.is_well

    asyncio.run(halts())


@pytest.mark.parametrize("way", ["stream", "rest"])
def test_a_resumption_that_nobody_heard_is_made_good_by_the_first_bar_since(
    market: Callable[..., Market], way: str
) -> None:
    made = market(stocks("AAPL"), now=OPEN)

    async def halted() -> None:
        async with made.streaming():
            await made.tell(OPEN + 5 * MINUTE / 2, HALTED)
            # The minute in which it began ends.
            await made.hear(OPEN + 2 * MINUTE, BAR, symbol="AAPL")
            assert made.feed.health()["halted"]

    asyncio.run(halted())
    made = market(stocks("AAPL"), now=OPEN + 20 * MINUTE)

    async def trades() -> None:
        async with made.streaming():
            # Known from before the start.
            assert made.feed.health()["halted"]
            if way == "rest":
                made.trade(OPEN, symbol="AAPL")
                assert await made.swept()
                assert made.feed.health()["halted"]
                made.trade(OPEN + 15 * MINUTE, symbol="AAPL")
                made.clock.time += 15 * MINUTE
                assert await made.swept()
            else:
                await made.hear(OPEN + 19 * MINUTE, BAR, symbol="AAPL")
            assert not made.feed.health()["halted"]

    asyncio.run(trades())
    assert not market(stocks("AAPL"), now=OPEN + 40 * MINUTE).feed.health()["halted"]


def test_a_status_that_comes_after_a_newer_one_changes_nothing(market: Callable[..., Market]) -> None:
    made = market(stocks("AAPL"), now=OPEN)

    async def told() -> None:
        async with made.streaming():
            await made.tell(OPEN + MINUTE, RESUMED)
            await made.tell(OPEN, HALTED)
            assert not made.feed.health()["halted"]

    asyncio.run(told())
    assert len(made.statuses()) == 2


def test_statuses_that_never_come_are_said_and_are_no_trouble_of_the_bars(market: Callable[..., Market]) -> None:
    made = market(stocks("AAPL", "SPY"), now=OPEN)

    async def subscribed() -> None:
        async with made.streaming():
            made.wires[-1].subscribed({"T": "subscription", "bars": ["AAPL", "SPY"], "statuses": ["SPY"]})
            assert made.feed.is_well
            says = "Alpaca's stream does not give those of 1 of the symbols: AAPL"
            assert made.feed.health()["without_trading_statuses"] == says
            made.wires[-1].subscribed({"T": "subscription", "bars": ["AAPL", "SPY"], "statuses": ["AAPL", "SPY"]})
            assert made.feed.health()["without_trading_statuses"] is None

    asyncio.run(subscribed())
