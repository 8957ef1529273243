"""Seconds from the websocket's frame to a row that can be read, at a trickle and with all US stocks at once.

`python -m bench.stream FEED SYMBOLS` is the stream service alone, over made-up tickers, in a process of its own.
"""

import itertools
import string
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from bench.systems import BenchError, start
from bench.usage import watching
from crypto_platform.cli.stream import prepare
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion.topic_load import LoadReport
from crypto_platform.market.bars import BARS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import Settings, settings
from crypto_platform.streaming.loader import Loader

# In the midst of a session: whoever joins has each minute of six hours to make up for, as the simulation's stocks trade
# in all of the extended hours; of 11,000 real ones a third as many bars would be there by noon.
START = "2026-03-02T15:00:00Z"
# No load has brought any of the minutes before for so long: those are all.
SETTLED_SECONDS = 20.0
TARGET_BURST, TARGET_JOIN, TARGET_RSS = 5.0, 60.0, 2**30
WARM_UP = 2

Tell = Callable[[str], None]


def spec(feed: str, symbols: int) -> FeedSpec:
    """The crypto feed as it is shipped, or minute bars of so many stocks."""
    if feed == "crypto":
        return FeedSpec(asset_class="crypto", symbols=("BTC/USD",), start_date=date(2025, 1, 1))
    return FeedSpec(
        asset_class="us_equity",
        symbols=tuple(tickers(symbols)),
        start_date=date(2025, 1, 1),
        alpaca_feed="sip",
        stream_idle_timeout_seconds=600,
    )


def tickers(count: int) -> list[str]:
    """So many made-up stocks."""
    letters = itertools.islice(itertools.product(string.ascii_uppercase, repeat=4), count)
    return ["".join(four) for four in letters]


def trickle(base: Settings, bars: int, tell: Tell) -> dict[str, Any]:
    """One symbol, a bar every ten seconds: seconds from each frame to its row, and to the live view."""
    tell(f"stream: {bars} bars of one symbol")
    prepare(base)
    with _live(base, "crypto", 1, speed=6) as (own, loads):
        views: list[tuple[str, float]] = []

        def look(load_id: str, _at: float) -> None:
            """Ask the view for the newest bar, as a dashboard would, right after the load."""
            with connect(own) as connection:
                connection.cursor().execute("SELECT last_price, last_price_at FROM MARTS.LIVE_PRICES").fetchall()
            views.append((load_id, time.time()))

        loads.told = look
        _wait(lambda: len(loads.seen) >= bars + WARM_UP, 60 + 30 * bars)
        in_raw = _latencies(own, "crypto", loads.seen)[WARM_UP:]
        in_view = _latencies(own, "crypto", views)[WARM_UP:]
    return {"bars": len(in_raw), **_quantiles("raw", in_raw), **_quantiles("view", in_view)}


def burst(base: Settings, symbols: int, minutes: int, tell: Tell) -> dict[str, Any]:
    """So many stocks from the midst of a session on.

    Seconds until all minutes before the start are in RAW, by REST; then, of minutes that come in one frame each, until
    the last of a minute's bars is; and the service's memory.
    """
    tell(f"stream: {symbols:,} symbols join in the midst of the session")
    began = time.time()
    with _live(base, "us_equity", symbols, speed=1) as (own, loads), watching({"stream": loads.pid}, {}) as used:
        joining = datetime.fromisoformat(START)
        joined, missed = _join(own, joining)
        tell(f"stream: {symbols:,} bars in one second, {minutes} minutes")
        after = _full_minutes(own, symbols, joining)
        _wait(lambda: _full_minutes(own, symbols, joining) >= after + minutes + 1, 300 + 90 * minutes)
        found = _latencies(own, "us_equity", loads.seen, "source = 'stream'", by_minute=True)
    return {
        "symbols": symbols,
        "minutes": minutes,
        "joined": joined - began,
        "missed": missed,
        # The first of them may have been on its way while the join was loaded.
        "seconds": max(found[-minutes:]),
        "peak_rss": used["stream"].peak_rss,
        "target_seconds": TARGET_BURST,
        "target_join": TARGET_JOIN,
        "target_rss": TARGET_RSS,
    }


def _join(settings: Settings, joining: datetime) -> tuple[float, int]:
    """When (epoch seconds) the last of the bars before `joining` was seen in RAW, and how many there are."""
    bars, grown = 0, time.time()

    def is_settled() -> bool:
        nonlocal bars, grown
        if (now := _bars_before(settings, joining)) > bars:
            bars, grown = now, time.time()
        return bool(bars) and time.time() - grown > SETTLED_SECONDS

    _wait(is_settled, 900)
    return grown, bars


class _Loads:
    """Loads by id and the moment after their commit."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: list[tuple[str, float]] = []
        self.told: Callable[[str, float], None] = lambda load_id, at: None

    def __call__(self, _feed: str, report: LoadReport) -> None:
        now = time.time()
        if report.load_id and report.loaded:
            self.told(report.load_id, now)
            self.seen.append((report.load_id, now))


@contextmanager
def _live(base: Settings, feed: str, symbols: int, speed: int) -> Iterator[tuple[Settings, _Loads]]:
    """The service in a process, the loader in this one, beside a market that begins now."""
    with running(None, True, "--stream-from", START, "--stream-speed", str(speed), "--late-trades", "0") as url:
        own = base.model_copy(
            update={
                "apca_api_data_url": url,
                "apca_api_key_id": "bench",
                "apca_api_secret_key": "bench",
                "stream_port": 0,
                "loader_port": 0,
            }
        )
        own = Settings(_env_file=None, **own.model_dump())
        output = Path(base.crypto_platform_home) / "stream.log"
        service = start(own, [sys.executable, "-m", "bench.stream", feed, str(symbols)], output)
        loads = _Loads(service.pid)
        stop = threading.Event()
        loader = Loader(own, {feed: [BARS]}, loads)
        thread = threading.Thread(target=loader.run, args=(stop,))
        thread.start()
        try:
            yield own, loads
        except TimeoutError:
            raise BenchError(f"the stream did not come: {output.read_text()[-2000:]} {loader.health()}") from None
        finally:
            service.terminate()
            service.wait()
            stop.set()
            thread.join()


def _latencies(
    settings: Settings,
    feed: str,
    visible: list[tuple[str, float]],
    condition: str = "source <> 'rest'",
    by_minute: bool = False,
) -> list[float]:
    """Seconds from observation to visibility of each streamed bar, or of each minute's slowest, in time's order."""
    at = dict(visible)
    columns = "bar_start, observed_at, load_id"
    if by_minute:
        columns = "bar_start, min(observed_at), load_id"
    group = " GROUP BY bar_start, load_id" if by_minute else ""
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT {columns} FROM {BARS.ledger(feed)} WHERE {condition}{group} ORDER BY 1"
        )
        found = [
            (minute, at[load_id] - observed.replace(tzinfo=UTC).timestamp())
            for minute, observed, load_id in rows
            if load_id in at
        ]
    if not by_minute:
        return [seconds for _, seconds in found]
    slowest: dict[datetime, float] = {}
    for minute, seconds in found:
        slowest[minute] = max(slowest.get(minute, 0.0), seconds)
    return [slowest[minute] for minute in sorted(slowest)]


def _bars_before(settings: Settings, moment: datetime) -> int:
    return _number(settings, "SELECT count(*) FROM {} WHERE bar_start < %s", moment)


def _full_minutes(settings: Settings, symbols: int, since: datetime) -> int:
    """How many minutes from `since` on the stream gave of all symbols."""
    minutes = "SELECT bar_start FROM {} WHERE source = 'stream' AND bar_start >= %s GROUP BY 1"
    return _number(settings, f"SELECT count(*) FROM ({minutes} HAVING count(DISTINCT symbol) = {symbols})", since)


def _number(settings: Settings, question: str, moment: datetime) -> int:
    with connect(settings) as connection:
        values = (moment.replace(tzinfo=None).isoformat(),)
        answer = connection.cursor().execute(question.format(BARS.ledger("us_equity")), values).fetchall()
        return int(answer[0][0])


def _quantiles(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"{name}_p50": ordered[len(ordered) // 2],
        f"{name}_p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    from snowflake.connector.errors import Error

    until = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Error:
            # The ledger is made by the first load.
            pass
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(1)


if __name__ == "__main__":
    from crypto_platform.streaming.service import run

    run(settings(), {sys.argv[1]: spec(sys.argv[1], int(sys.argv[2]))})
