"""One feed live: its connection, what tells that it has gone mute, and REST for what it did not give."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
from websockets.exceptions import WebSocketException

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.errors import AlpacaConfigError, AlpacaError, CancelledError, UnknownSymbolError
from crypto_platform.connectors.alpaca.page import Page
from crypto_platform.connectors.alpaca.plan import LONGEST_GROUP
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.connectors.backoff import LONGEST_SECONDS, seconds_after
from crypto_platform.ingestion.spool import Message, SpoolFullError, folder
from crypto_platform.market import bars, sessions, trading_statuses
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import SOURCES
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.settings import Settings
from crypto_platform.streaming import state
from crypto_platform.streaming.client import MalformedFrameError, alpaca_feed, live_stream
from crypto_platform.streaming.clock import MarketClock
from crypto_platform.streaming.halts import Halts
from crypto_platform.streaming.metrics import StreamMetrics
from crypto_platform.streaming.outbox import Outbox
from crypto_platform.streaming.published_bars import BarKey, PublishedBars, Version, values
from crypto_platform.streaming.refusals import OF_SUBSCRIPTIONS, StreamRefusedError
from crypto_platform.streaming.rollup import MINUTE, RollUp, is_sound

log = logging.getLogger(__name__)

# Market time after which REST is believed to have a bar as it stays: late trades correct one within half a minute.
SETTLED = timedelta(minutes=2)
# Market time in which the last minute's bar comes when there was a trade in it.
PATIENCE = 10.0
_TICK = 0.25


class StreamIdleError(Exception):
    """The connection is open and says nothing although the market trades."""


class LiveFeed:
    """Publishes a feed's bars and trading statuses as they come; `run` returns when it is cancelled.

    `verified` (UTC, on the timeframe's grid): REST has been asked for everything before it, and what the stream had not
    given was published. It is kept on disk with the halts, so that a start goes on from there.
    """

    def __init__(
        self,
        name: str,
        spec: FeedSpec,
        settings: Settings,
        outbox: Outbox,
        clock: MarketClock,
        metrics: StreamMetrics,
    ) -> None:
        self.name = name
        self.spec = spec
        self.connected = False
        # By its cause, so that one that is over takes no other with it.
        self._problems: dict[str, str] = {}
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._timeframe = bars.Timeframe.parse(spec.timeframe)
        self._rollup = None if self._timeframe.seconds == MINUTE else RollUp(self._timeframe)
        # Before it REST's answer is not final, or not to be had on the plan.
        self._settled = max(SETTLED, spec.vendor_delay)
        self._prefixes = {s: bars.line_prefix(s, self._timeframe.name) for s in spec.symbols}
        # What the spool took. The stream's bars come in the event loop, REST's in a thread.
        self._published = PublishedBars(spec.symbols)
        self._lock = threading.Lock()
        # Of a frame: its messages, and what is known once the spool has them.
        self._inbox: list[Message] = []
        self._heard_versions: dict[BarKey, Version] = {}
        self._newest: dict[str, int] = {}
        # The last bar of the stream, at first the start; `_since`: the connection's.
        self._heard_at = self._since = clock.now()
        self._heard = 0
        self._sweep_soon = asyncio.Event()
        self._stop = threading.Event()
        self._unknown: set[str] = set()
        self._has_statuses = self._asks_statuses = TRADING_STATUSES in spec.datasets
        # Why none come, though stocks have them: no trouble of the bars.
        self._without_statuses: str | None = None
        self._halts = Halts(spec.symbols, folder(settings) / f"{name}_halts.json", clock.now())
        for symbol in self._halts.since:
            self._tell_halt(symbol)
        # Of REST's bars, by symbol, the start of the newest (epoch seconds).
        self._traded: dict[str, int] = {}
        self._state = folder(settings) / f"{name}.json"
        self.verified = self._read_state() or self._first_start()

    async def run(self) -> None:
        """Listen until cancelled; whatever goes wrong is said, waited for and tried again."""
        tasks = [asyncio.create_task(part()) for part in (self._connect_forever, self._sweep_forever, self._tick)]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._flush()

    def health(self) -> dict[str, Any]:
        """The feed's state in plain values."""
        return {
            "connected": self.connected,
            "market_open": self._open_since() is not None,
            "halted": {symbol: since.isoformat() for symbol, since in sorted(self._halts.since.items())},
            "without_trading_statuses": self._without_statuses,
            "silence_seconds": round(self._silence(self._heard_at), 1),
            "verified_until": self.verified.isoformat(),
            "problem": self.problem,
        }

    @property
    def problem(self) -> str | None:
        """What is wrong, until what it was about has gone well: a connection is well by the bars that it brings."""
        found = self._problems.copy()
        if self.connected and self._bars_since() is None:
            # There is no bar to come.
            found.pop("connection", None)
        if (silence := self._silence(self._heard_at)) > self.spec.stream_idle_timeout_seconds:
            found.setdefault("connection", f"no bar for {silence:.0f} s although the market is open")
        return "; ".join(found.values()) or None

    @property
    def is_well(self) -> bool:
        return self.problem is None and (self.connected or self._open_since() is None)

    # The connection

    async def _connect_forever(self) -> None:
        failures = 0
        while True:
            heard = self._heard
            wait = 0.0
            try:
                await self._connection()
            except StreamRefusedError as refusal:
                reason, text, wait = f"refused {refusal.code}", str(refusal), refusal.wait
                if self._has_statuses and refusal.code in OF_SUBSCRIPTIONS:
                    # The plan may give bars alone. Refused without statuses as well, it is not theirs.
                    self._asks_statuses = not self._asks_statuses
                    self._without_statuses = None if self._asks_statuses else text
                    wait = wait if self._asks_statuses else 0.0
            except StreamIdleError as mute:
                reason, text = "mute", str(mute)
            except AlpacaConfigError as error:
                reason, text, wait = "settings", str(error), LONGEST_SECONDS
            except MalformedFrameError as garbled:
                reason, text = "garbled", str(garbled)
            except (OSError, TimeoutError, WebSocketException) as error:
                reason, text = "cut", f"{type(error).__name__} {error}".strip()
            else:
                reason, text = "cut", "the connection ended"
            self._metrics.reconnects.labels(self.name, reason).inc()
            failures = 1 if self._heard > heard else failures + 1
            wait = max(wait, seconds_after(failures, longest=LONGEST_SECONDS))
            # A connection that was cut once is nothing to tell a person; one that cannot be had again is. Of a mute one
            # the silence tells.
            if reason != "mute" and (wait > 1 or failures > 1):
                self._problems["connection"] = text
            log.warning("%s: %s; connecting again in %.1f s", self.name, text, wait)
            await asyncio.sleep(wait)

    async def _connection(self) -> None:
        """One connection from its opening to its end, which is an exception."""
        stream = live_stream(self._settings, self.spec, self._hear, self._subscribed, self._asks_statuses)
        try:
            await stream.open()
            await asyncio.to_thread(self._clock.sync)
            self.connected, self._since = True, self._clock.now()
            if self._rollup is not None:
                self._rollup.connected(self._since.timestamp())
            self._metrics.connections.labels(self.name).inc()
            self._metrics.connected.labels(self.name).set(1)
            # What was missed while there was no connection, and what it missed itself when it was cut.
            self._sweep_soon.set()
            log.info("%s: connected", self.name)
            parts = [asyncio.create_task(stream.listen()), asyncio.create_task(self._watch())]
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in done:
                    part.result()
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
        finally:
            self.connected = False
            self._metrics.connected.labels(self.name).set(0)
            with suppress(Exception):
                await asyncio.wait_for(stream.close(), 2)

    def _subscribed(self, told: dict[str, Any]) -> None:
        """Alpaca's answer is the full list: what is not in it will never come."""
        self._problems.pop("subscription", None)
        if missing := self._missing(told, "bars"):
            self._say("subscription", f"Alpaca's stream does not give {missing}")
        if self._asks_statuses:
            missing = self._missing(told, "statuses")
            self._without_statuses = f"Alpaca's stream does not give those of {missing}" if missing else None

    def _missing(self, told: dict[str, Any], channel: str) -> str:
        """The symbols in words that the channel does not give; empty: it gives all."""
        missing = sorted(set(self.spec.symbols) - set(told.get(channel, ())))
        return f"{len(missing)} of the symbols: {', '.join(missing[:10])}" if missing else ""

    async def _watch(self) -> None:
        """Raise when the market trades and nothing comes."""
        while True:
            await asyncio.sleep(_TICK)
            # A new connection is given its own time.
            if (silence := self._silence(max(self._since, self._heard_at))) > self.spec.stream_idle_timeout_seconds:
                raise StreamIdleError(
                    f"no bar for {silence:.0f} s although the market is open: the connection counts as idle"
                )

    def _silence(self, since: datetime) -> float:
        """Seconds of market time since then in which a bar should have come; 0 while none is to come."""
        trading = self._bars_since()
        if trading is None:
            return 0.0
        # The first bar comes a minute after trading begins.
        return max(0.0, (self._clock.now() - max(since, trading + timedelta(minutes=1))).total_seconds())

    def _say(self, cause: str, problem: str) -> None:
        if self._problems.get(cause) != problem:
            log.error("%s: %s", self.name, problem)
        self._problems[cause] = problem

    def _bars_since(self) -> datetime | None:
        """Since when there is trading in any symbol; None: the market is closed, or every symbol is halted."""
        opened = self._open_since()
        if opened is None or self._halts.are_all:
            return None
        return max(opened, self._halts.ended or opened)

    def _open_since(self) -> datetime | None:
        return sessions.open_since(self.spec.asset_class, self._clock.now())

    # What comes by the stream

    def _hear(self, message: dict[str, Any]) -> None:
        symbol, start = message.get("S"), message.get("t")
        if symbol not in self._prefixes:
            return
        if not self._inbox:
            # All of a frame is handed over without a pause, so this comes after its last message.
            asyncio.get_running_loop().call_soon(self._flush)
        if message["T"] == "s":
            self._hear_status(symbol, message)
        elif isinstance(start, msgpack.Timestamp):
            self._hear_bar(symbol, start, message)

    def _hear_status(self, symbol: str, message: dict[str, Any]) -> None:
        """Publish the status, whatever it says, for the load to judge, and note the halt that it begins or ends."""
        observed_at, at = datetime.now(UTC), message.get("t")
        status = {name: value for name, value in message.items() if name not in ("T", "S")}
        halted = trading_statuses.is_halted(message.get("z"), message.get("sc"))
        if isinstance(at, msgpack.Timestamp):
            status["t"] = _time(at.seconds, at.nanoseconds)
            if halted is not None and self._halts.status(symbol, at.to_datetime(), halted, self._clock.now()):
                self._tell_halt(symbol)
        value = trading_statuses.encode(symbol, status)
        self._inbox.append(Message(self.name, symbol, value, "stream", observed_at, TRADING_STATUSES))

    def _trade(self, symbol: str, start: datetime) -> None:
        """Note that there was a trade in the bar that began at `start`."""
        if self._halts.traded(symbol, start, self._clock.now()):
            self._tell_halt(symbol)

    def _tell_halt(self, symbol: str) -> None:
        since = self._halts.since.get(symbol)
        log.info("%s: %s %s", self.name, symbol, f"is halted since {since}" if since else "trades again")
        self._metrics.halted_since.labels(self.name, symbol).set(since.timestamp() if since else 0)

    def _hear_bar(self, symbol: str, start: msgpack.Timestamp, message: dict[str, Any]) -> None:
        self._heard += 1
        self._heard_at = self._clock.now()
        self._problems.pop("connection", None)
        self._trade(symbol, start.to_datetime())
        observed_at = datetime.now(UTC)
        is_update = message["T"] == "u"
        bar = {name: value for name, value in message.items() if name not in ("T", "S", "t")}
        if not is_update:
            self._metrics.vendor_lag.labels(self.name).observe(
                max(0.0, self._heard_at.timestamp() - start.seconds - MINUTE)
            )
        if self._rollup is None:
            self._take(symbol, start.seconds, start.nanoseconds, bar, observed_at, is_update)
        elif start.nanoseconds or not is_sound(start.seconds, bar):
            # As the minute it is: the load judges it, and keeps it among the rejected.
            value = bars.encode(bars.line_prefix(symbol, "1Min"), {"t": _time(start.seconds, start.nanoseconds), **bar})
            self._inbox.append(Message(self.name, symbol, value, "stream", observed_at))
        elif told := self._rollup.add(symbol, start.seconds, bar):
            first, whole = told
            self._take(symbol, first, 0, whole, observed_at, is_update)

    def _take(
        self, symbol: str, start: int, nanoseconds: int, bar: dict[str, Any], observed_at: datetime, is_update: bool
    ) -> None:
        key = symbol, start
        with self._lock:
            known = self._heard_versions.get(key) or self._published.get(key)
            is_final = self._published.is_final(key)
        if not is_update and (is_final or (known and known.is_update)):
            self._metrics.stale.labels(self.name).inc()
            if known is None:
                # REST has told it for good long since.
                return
            # An update tells what came after its bar, whichever of them arrives first.
            observed_at = min(observed_at, known.observed_at - timedelta(microseconds=1))
        else:
            self._heard_versions[key] = Version(values(bar), observed_at, is_update)
        source = "stream_update" if is_update else "stream"
        self._inbox.append(self._message(symbol, _time(start, nanoseconds), bar, source, observed_at))
        self._newest[symbol] = max(start, self._newest.get(symbol, start))
        self._metrics.last_bar.labels(self.name, symbol).set(self._newest[symbol])

    def _message(self, symbol: str, start: str, bar: dict[str, Any], source: str, observed_at: datetime) -> Message:
        return Message(self.name, symbol, bars.encode(self._prefixes[symbol], {"t": start, **bar}), source, observed_at)

    def _flush(self) -> None:
        messages, self._inbox = self._inbox, []
        heard, self._heard_versions = self._heard_versions, {}
        if messages:
            with self._lock:
                if self._put(messages):
                    self._published.add(heard)
                else:
                    # Of these REST knows nothing: they wait for room.
                    self._inbox = [m for m in messages if m.dataset is TRADING_STATUSES]

    def _put(self, messages: Sequence[Message]) -> bool:
        """Whether the spool took them; what it did not take must not count as known."""
        told = [message for message in messages if message.dataset is BARS]
        try:
            self._outbox.put(messages)
        except (SpoolFullError, sqlite3.Error) as error:
            self._metrics.dropped.labels(self.name).inc(len(told))
            why = str(error) if isinstance(error, SpoolFullError) else f"the spool cannot be written: {error}"
            self._say("spool", f"{why}; what is left out is requested by REST")
            return False
        self._problems.pop("spool", None)
        for source in SOURCES:
            if count := sum(m.source == source for m in told):
                self._metrics.bars.labels(self.name, source).inc(count)
        self._metrics.statuses.labels(self.name).inc(len(messages) - len(told))
        return True

    async def _tick(self) -> None:
        """What time brings by itself: bars that are over, and the gauges."""
        while True:
            await asyncio.sleep(_TICK)
            self._metrics.silence.labels(self.name).set(self._silence(self._heard_at))
            if self._rollup is not None:
                now = self._clock.now().timestamp()
                for symbol, start, bar in self._rollup.due(now, PATIENCE):
                    self._take(symbol, start, 0, bar, datetime.now(UTC), False)
            self._flush()

    # What comes by REST

    async def _sweep_forever(self) -> None:
        """Ask REST after every start and connection, once more when late trades are in, and every few minutes."""
        wait = 0.0
        while True:
            try:
                await asyncio.wait_for(self._sweep_soon.wait(), wait)
                connected = True
            except TimeoutError:
                connected = False
            self._sweep_soon.clear()
            if not await self.sweep():
                wait = LONGEST_SECONDS / 2
            else:
                every = self._settings.stream_reconcile_interval_seconds
                market = min(self._settled.total_seconds(), every) if connected else every
                wait = max(market / self._clock.speed, _TICK)

    async def sweep(self) -> bool:
        """Publish what REST has and the stream did not give, from `verified` to the last bar that REST may have.

        Whether REST answered and the spool took it.
        """
        try:
            found = await asyncio.to_thread(self._sweep)
        except CancelledError:
            return False
        except (AlpacaError, OSError) as error:
            self._metrics.sweeps.labels(self.name, "failed").inc()
            self._say("REST", f"the look by REST failed: {error}")
            return False
        finally:
            self._forget()
            traded, self._traded = self._traded, {}
            for symbol, start in traded.items():
                self._trade(symbol, datetime.fromtimestamp(start, UTC))
        self._metrics.sweeps.labels(self.name, "done").inc()
        self._problems.pop("REST", None)
        return found is not None

    def _sweep(self) -> int | None:
        """How many bars were published; None: the spool did not take them."""
        now = self._clock.now()
        end = self._floor(now - self.spec.vendor_delay)
        final = self._floor(now - self._settled)
        start = max(self.verified, end - timedelta(days=self._settings.stream_backfill_max_days))
        published = 0
        if start < end:
            with AlpacaClient(self._settings) as client:
                for page in self._pages(client, start, end):
                    missed = self._publish_missed(page, int(final.timestamp()))
                    if missed is None:
                        return None
                    published += missed
        if published:
            log.info(
                "%s: %d bars by REST that the stream had not given, from %s to %s", self.name, published, start, end
            )
        self.verified = max(self.verified, final)
        self._write_state()
        return published

    def _forget(self) -> None:
        """Let go of what will not be compared again: what REST was asked for, and, while it fails, what is old."""
        longest = self._settled + timedelta(seconds=2 * self._settings.stream_reconcile_interval_seconds)
        before = max(self.verified, self._floor(self._clock.now() - longest)) - self._timeframe.delta
        with self._lock:
            self._published.forget(before.timestamp())
        if self._rollup is not None:
            self._rollup.forget(before.timestamp())

    def _pages(self, client: AlpacaClient, start: datetime, end: datetime) -> Iterator[Page]:
        symbols = [s for s in self.spec.symbols if s not in self._unknown]
        groups = [tuple(symbols[n : n + LONGEST_GROUP]) for n in range(0, len(symbols), LONGEST_GROUP)]
        for group in groups:
            request = BarsRequest(
                self.name,
                self.spec.asset_class,
                group,
                self._timeframe,
                start.date(),
                end.date() + timedelta(days=1),
                alpaca_feed(self.spec),
                self.spec.adjustment,
            )
            try:
                yield from client.pages(request, group, start, end, Traffic(), self._stop)
            except UnknownSymbolError as error:
                self._unknown.add(error.symbol)
                self._say("symbols", f"{error} (without bars: {', '.join(sorted(self._unknown))})")
                raise

    def _publish_missed(self, page: Page, final: int) -> int | None:
        """Publish the page's bars that were not published, or with other values and longer ago.

        What began before `final` (epoch seconds) REST has told for good: it is not kept to be compared, as a day of it
        would fill the memory, but each symbol's last one is noted, so that no look publishes it twice. Returns how many
        bars were published; None: the spool did not take them.
        """
        missed: list[Message] = []
        told: dict[BarKey, Version] = {}
        done: dict[str, int] = {}
        with self._lock:
            for symbol, found in page.bars.items():
                for bar in found:
                    key = symbol, int(datetime.fromisoformat(bar["t"]).timestamp())
                    self._traded[symbol] = key[1]
                    if self._published.is_final(key):
                        continue
                    version = Version(values(bar), page.observed_at, True)
                    known = self._published.get(key)
                    if not known or (known.values != version.values and known.observed_at <= page.observed_at):
                        missed.append(
                            Message(
                                self.name, symbol, bars.encode(self._prefixes[symbol], bar), "rest", page.observed_at
                            )
                        )
                        if key[1] >= final - self._timeframe.seconds:
                            told[key] = version
                    if key[1] < final:
                        done[symbol] = key[1]
            if missed and not self._put(missed):
                return None
            self._published.add(told)
            self._published.settle(done)
        return len(missed)

    def _floor(self, moment: datetime) -> datetime:
        """The start of the bar that is running."""
        seconds = int(moment.timestamp())
        return datetime.fromtimestamp(seconds - seconds % self._timeframe.seconds, UTC)

    def _first_start(self) -> datetime:
        """Without a past of its own a feed begins with the UTC day, or an hour ago when that has just begun."""
        now = self._clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return self._floor(min(midnight, now - timedelta(hours=1)))

    def _read_state(self) -> datetime | None:
        with suppress(ValueError, KeyError, TypeError):
            found = state.read(self._state)
            verified = datetime.fromisoformat(found["verified"])
            # A file of another timeframe, or of a replay that was in another time.
            if found["timeframe"] == self._timeframe.name and verified <= self._clock.now():
                return verified
        return None

    def _write_state(self) -> None:
        state.replace(self._state, {"timeframe": self._timeframe.name, "verified": self.verified.isoformat()})


def _time(seconds: int, nanoseconds: int) -> str:
    """As Alpaca writes times: whole seconds without a fraction."""
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanoseconds:09}Z" if nanoseconds else f"{whole}Z"
