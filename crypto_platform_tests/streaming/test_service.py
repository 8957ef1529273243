"""The stream service on a real broker, beside an Alpaca sandbox that disturbs it."""

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from crypto_platform.ingestion import topic_load
from crypto_platform.market.trading_statuses import TRADING_STATUSES, is_halted
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import Settings
from crypto_platform.streaming.service import AlreadyRunningError
from crypto_platform_tests import factories
from crypto_platform_tests.connectors.alpaca.conftest import KEY, SECRET, Server
from crypto_platform_tests.streaming.conftest import (
    START,
    Published,
    crypto,
    live_settings,
    published,
    stocks,
    streaming,
    wait_for,
)

pytestmark = pytest.mark.sandbox

# Twenty minutes of the market in ten seconds.
REPLAY = ("--stream-from", START, "--stream-speed", "120", "--late-trades", "0.5")


@pytest.fixture(scope="module")
def replay() -> Iterator[Server]:
    with running(None, True, *REPLAY) as url:
        yield Server(url)


@pytest.fixture
def alpaca(replay: Server) -> Iterator[Server]:
    yield replay
    replay.clear()


@pytest.fixture
def live(sandbox: Settings, alpaca: Server, tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        return live_settings(sandbox, alpaca.url, tmp_path / "home", **changes)

    return make


def truth(url: str, spec: Any, start: str, end: str) -> dict[tuple[str, str], dict[str, Any]]:
    """REST's bars by symbol and start, both ends included."""
    path = "/v1beta3/crypto/us/bars" if spec.asset_class == "crypto" else "/v2/stocks/bars"
    keys = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    asked = {"symbols": ",".join(spec.symbols), "timeframe": spec.timeframe, "start": start, "end": end, "limit": 10000}
    token: str | None = None
    while True:
        more = {"page_token": token} if token else {}
        page = requests.get(f"{url}{path}", asked | more, headers=keys, timeout=10).json()
        for symbol, rows in page["bars"].items():
            found |= {(symbol, row["t"]): row for row in rows}
        token = page["next_page_token"]
        if token is None:
            return found


def newest(messages: list[Published]) -> dict[tuple[str, str], dict[str, Any]]:
    """Each bar as the ledger would have it: of its versions the one observed last."""
    found: dict[tuple[str, str], Published] = {}
    for message in messages:
        if message.minute not in found or message.observed_at >= found[message.minute].observed_at:
            found[message.minute] = message
    return {minute: {k: v for k, v in m.bar.items() if k not in ("symbol", "timeframe")} for minute, m in found.items()}


def whole(messages: list[Published], url: str, spec: Any) -> bool:
    """Whether every bar of REST, from the day's beginning to the newest on the topic, is there as REST has it."""
    known = newest(messages)
    last = max(t for _, t in known)
    # The newest of all may still wait for its late trade.
    settled = (datetime.fromisoformat(last) - timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    expected = truth(url, spec, f"{last[:10]}T00:00:00Z", settled)
    return all(known.get(minute) == bar for minute, bar in expected.items())


def test_bars_updates_and_the_day_so_far_are_published_once(live: Callable[..., Settings], alpaca: Server) -> None:
    settings, feed, stock_feed = live(), factories.feed_name(), factories.feed_name()
    specs = {feed: crypto(), stock_feed: stocks()}
    with streaming(settings, specs) as stream:
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream_update") >= 3)
        wait_for(lambda: stream.value("bars_total", feed=stock_feed, source="stream") >= 2)
        # The quarter in which it connected is REST's to give.
        wait_for(lambda: stream.state(stock_feed)["verified_until"] >= "2026-03-02T15:15")
        well, health = stream.service.health()
        assert well, health
    messages = published(settings, feed)
    assert {m.source for m in messages} == {"rest", "stream", "stream_update"}
    assert whole(messages, alpaca.url, specs[feed])
    assert whole(published(settings, stock_feed), alpaca.url, specs[stock_feed])
    # REST filled the day once; the stream gave each of its bars once, and an update to some.
    versions = Counter((m.minute, m.source) for m in messages)
    assert set(versions.values()) == {1}
    by_symbol = defaultdict(set)
    for message in messages:
        by_symbol[message.bar["symbol"]].add(message.partition)
        assert message.bar["timeframe"] == "1Min"
    assert all(len(partitions) == 1 for partitions in by_symbol.values())


def test_a_second_start_goes_on_where_the_first_ended(live: Callable[..., Settings], alpaca: Server) -> None:
    settings, feed = live(), factories.feed_name()
    with streaming(settings, {feed: crypto()}) as stream:
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= 6)
    first = len(published(settings, feed))
    with streaming(settings, {feed: crypto()}) as stream:
        wait_for(lambda: stream.value("sweeps_total", feed=feed, outcome="done") >= 1)
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= 2)
    messages = published(settings, feed)
    assert whole(messages, alpaca.url, crypto())
    again = len(messages) - first
    assert again < 100, "the day was not asked for again"


def test_a_cut_and_a_mute_connection_are_found_and_their_holes_filled(
    live: Callable[..., Settings], alpaca: Server
) -> None:
    settings, feed = live(), factories.feed_name()
    with streaming(settings, {feed: crypto()}) as stream:
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= 2)
        alpaca.arm("mute")
        wait_for(lambda: stream.value("reconnects_total", feed=feed, reason="mute") >= 1)
        assert alpaca.fired() >= 2
        alpaca.clear()
        alpaca.arm("disconnect")
        wait_for(lambda: stream.value("reconnects_total", feed=feed, reason="cut") >= 1)
        alpaca.arm("slow_client")
        wait_for(lambda: stream.value("reconnects_total", feed=feed, reason="refused 407") >= 1)
        before = stream.value("bars_total", feed=feed, source="stream")
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= before + 10)
        done = stream.value("sweeps_total", feed=feed, outcome="done")
        wait_for(lambda: stream.value("sweeps_total", feed=feed, outcome="done") > done)
    assert whole(published(settings, feed), alpaca.url, crypto())


def test_bars_that_were_dropped_doubled_or_out_of_order_come_out_right(
    live: Callable[..., Settings], alpaca: Server
) -> None:
    settings, feed = live(stream_reconcile_interval_seconds=240), factories.feed_name()
    with streaming(settings, {feed: crypto()}) as stream:
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= 2)
        for skip, kind in enumerate(("drop", "duplicate", "reorder", "reorder", "drop")):
            alpaca.arm(kind, times=2, skip=skip)
        wait_for(lambda: alpaca.fired() == 10)
        done = stream.value("sweeps_total", feed=feed, outcome="done")
        wait_for(lambda: stream.value("sweeps_total", feed=feed, outcome="done") >= done + 3)
    assert whole(published(settings, feed), alpaca.url, crypto())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("auth_failed", "APCA_API_KEY_ID"),
        ("connection_limit", "another connection uses this key"),
        ("symbol_limit", "fewer symbols"),
    ],
)
def test_a_refusal_is_said_plainly_while_rest_goes_on(
    live: Callable[..., Settings], alpaca: Server, kind: str, says: str
) -> None:
    settings, feed = live(), factories.feed_name()
    alpaca.arm(kind, times=5)
    with streaming(settings, {feed: crypto()}) as stream:
        problem = wait_for(lambda: stream.state(feed).get("problem"))
        assert says in problem
        assert KEY not in problem
        assert SECRET not in problem
        well, _ = stream.service.health()
        assert not well
        wait_for(lambda: stream.value("bars_total", feed=feed, source="rest") > 1000)


def test_halts_of_all_symbols_are_told_once_and_are_no_silence(live: Callable[..., Settings], alpaca: Server) -> None:
    settings, feed = live(), factories.feed_name()
    spec = stocks()
    with streaming(settings, {feed: spec}) as stream:
        wait_for(lambda: stream.value("last_bar_start_seconds", feed=feed, symbol="SPY"))
        began = requests.get(f"{alpaca.url}/sandbox/clock", timeout=10).json()["now"] // 60 * 60 + 120
        # Longer than a stream of a market that is open may be silent.
        span = [datetime.fromtimestamp(began + seconds, UTC) for seconds in (0, 3 * spec.stream_idle_timeout_seconds)]
        for symbol in spec.symbols:
            alpaca.arm("halt", match={"symbol": symbol, "start": span[0].isoformat(), "end": span[1].isoformat()})
        wait_for(lambda: len(stream.state(feed).get("halted", ())) == 2)
        assert stream.value("halted_since_seconds", feed=feed, symbol="SPY") == began
        wait_for(lambda: stream.value("trading_statuses_total", feed=feed) == 4)
        wait_for(lambda: not stream.state(feed)["halted"])
        assert stream.service.health()[0], stream.service.health()
        assert stream.value("reconnects_total", feed=feed, reason="mute") == 0
    messages = published(settings, feed, TRADING_STATUSES)
    assert {m.source for m in messages} == {"stream"}
    told = sorted((m.bar["symbol"], m.bar["t"], is_halted(m.bar["z"], m.bar["sc"])) for m in messages)
    times = [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in span]
    assert told == [(symbol, at, at == times[0]) for symbol in sorted(spec.symbols) for at in times]
    # A start after it has nothing more to tell.
    with streaming(settings, {feed: spec}) as stream:
        wait_for(lambda: stream.value("sweeps_total", feed=feed, outcome="done") >= 1)
    assert published(settings, feed, TRADING_STATUSES) == messages
    report = topic_load.load(settings, feed, "run", dataset=TRADING_STATUSES)
    assert (report.loaded, report.rejected) == (4, 0)


def test_a_plan_that_refuses_statuses_gives_bars_without_them(live: Callable[..., Settings], alpaca: Server) -> None:
    settings, feed = live(), factories.feed_name()
    alpaca.arm("symbol_limit", times=1)
    with streaming(settings, {feed: stocks()}) as stream:
        wait_for(lambda: stream.value("bars_total", feed=feed, source="stream") >= 2)
        assert "fewer symbols" in stream.state(feed)["without_trading_statuses"]
        assert stream.service.health()[0], stream.service.health()
        assert stream.value("connections_total", feed=feed) == 2


def test_one_service_a_home(live: Callable[..., Settings]) -> None:
    settings, feed = live(), factories.feed_name()
    with streaming(settings, {feed: crypto()}) as stream:
        wait_for(lambda: stream.state(feed).get("connected"))
        with pytest.raises(AlreadyRunningError, match="one connection a key"), streaming(settings, {feed: crypto()}):
            pass


def test_the_command_ends_cleanly_on_sigterm(fresh_settings: Settings, alpaca: Server, tmp_path: Path) -> None:
    """The project's own feed, so on a broker of its own: its topic is another test's subject on the suite's."""
    with supervise.sandbox(fresh_settings, {"kafka"}) as effective:
        settings = live_settings(effective, alpaca.url, tmp_path / "stream")
        command = [sys.executable, "-m", "crypto_platform.cli.app", "stream", "--feed", "crypto"]
        environment = {**os.environ, **settings.environment()}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "connected" in line:
                    break
            # Connected is not yet published: the day so far is still to be asked for.
            wait_for(lambda: published(settings, "crypto"))
            process.send_signal(signal.SIGTERM)
            lines += process.stdout.readlines()
        assert process.returncode == 0, "".join(lines)
        assert "everything is in Kafka" in lines[-1]
        assert published(settings, "crypto")
