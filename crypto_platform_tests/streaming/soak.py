"""A soak of the live path: real programs, killed and disturbed, and a ledger that must not show it.

`python -m crypto_platform_tests.streaming.soak --minutes 30`, or `make soak`. A simulated market is replayed sixty
times as fast as time; at the end the ledger is compared with REST, at first as the live path left it, then once more
after the batch has asked REST for the days, as it does every night.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import typer
from pydantic import SecretStr

from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.kafka.admin import TopicError, topic_state
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.query import QueryError
from crypto_platform.ingestion.extract import BarsRequest, extract
from crypto_platform.market import bars
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.alpaca import running
from crypto_platform.sandbox.services import LIVE, SERVICES
from crypto_platform.sandbox.supervisord import SandboxError, Supervisord
from crypto_platform.settings import Settings
from crypto_platform.streaming.client import live_stream

START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPEED = 60
KEY = "soak"
SETTLE_SECONDS = 600.0
SYSTEMS = ("kafka", "spark", "snowflake")
_PORTS = (
    "sandbox_kafka",
    "sandbox_kafka_controller",
    "sandbox_spark",
    "sandbox_snowflake",
    "stream",
    "loader",
    "dagster_ui",
)

# What the sandbox's stream does, and what becomes of our own programs.
DISTURBANCES = ("drop", "duplicate", "reorder", "mute", "disconnect", "slow_client", "connection_limit", "server_error")
KILLS = ("stream", "loader", "kafka", "snowflake")

Tell = Callable[[str], None]


@dataclass
class Outcome:
    """What a soak came to; `wrong` says what does not add up."""

    faults: Counter[str] = field(default_factory=Counter)
    bars: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        return f"soak: {self.faults.total()} faults fired, {self.bars} bars, {self.lost} lost, {self.doubled} doubled"


@dataclass(frozen=True)
class Platform:
    """What is disturbed. `start` has it up in a home of its own, with bars from an address, for as long as a block.

    `kill` kills one of `kills` and says so; `supervised` are the services that supervisord has.
    """

    start: Callable[[Path, str], AbstractContextManager[Settings]]
    kill: Callable[[Settings, str], str]
    kills: tuple[str, ...]
    supervised: tuple[str, ...]


def soak(minutes: float, home: Path, tell: Tell, seed: int = 0, platform: Platform | None = None) -> Outcome:
    """Disturb the live path for so many minutes of the wall clock, then compare; `home` is the soak's own.

    The platform is the embedded one, unless another is given.
    """
    platform = platform or EMBEDDED
    outcome = Outcome()
    replay = (
        "--stream-from",
        START.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "--stream-speed",
        str(SPEED),
        "--late-trades",
        "0.3",
    )
    with running(None, True, *replay) as url, platform.start(home, url) as settings:
        alpaca = _Alpaca(url)
        _await(lambda: _loaded(settings, "crypto") > 0, settings, "the first bars are in the ledger")
        tell("everything is up")
        outcome.faults = _disturb(settings, alpaca, platform, minutes * 60, random.Random(seed), tell)  # noqa: S311
        tell("waiting until everything has recovered")
        alpaca.calm()
        _mend(settings, platform.supervised)
        last, verified, updates = _recovered(settings, alpaca)
        days = [START.date() + timedelta(days=n) for n in range((last.date() - START.date()).days + 1)]
        lake = _ask(settings, days)
        tell("comparing what came live")
        _drain(settings)
        _compare_live(settings, lake, days, verified, alpaca.corrected, outcome)
        _compare_updates(settings, updates, outcome)
        tell("publishing REST's days, as the batch does")
        _publish(settings, lake, days)
        # What was corrected in the past is met when the batch asks for it.
        outcome.faults["corrected"] = alpaca.fired()["corrected"]
        tell("comparing")
        _compare(settings, lake, days, outcome)
        _reconcile(settings, outcome)
        outcome.faults["correction"] = _count(settings, "source = 'stream_update'")
    for kind in (*DISTURBANCES, "corrected", *(f"kill -9 {name}" for name in platform.kills if name != "snowflake")):
        if not outcome.faults[kind]:
            outcome.wrong.append(f"{kind} never fired")
    return outcome


class _Alpaca:
    """The sandbox server's faults and time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fired: Counter[str] = Counter()
        self.corrected: list[tuple[datetime, datetime]] = []

    def now(self) -> datetime:
        told = requests.get(f"{self._url}/sandbox/clock", timeout=10).json()["now"]
        return datetime.fromtimestamp(told, UTC)

    def arm(self, kind: str, **fault: Any) -> None:
        requests.post(f"{self._url}/sandbox/faults", json={"kind": kind, **fault}, timeout=10).raise_for_status()

    def correct(self) -> None:
        """Some minutes of the past become others: on REST from now on."""
        start = self.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
        self.corrected.append((start, start + timedelta(minutes=2)))
        self._arm_corrected(*self.corrected[-1])

    def calm(self) -> None:
        """No more faults but the corrections, which stay true."""
        self._note()
        requests.delete(f"{self._url}/sandbox/faults", timeout=10).raise_for_status()
        for span in self.corrected:
            self._arm_corrected(*span)

    def _arm_corrected(self, start: datetime, end: datetime) -> None:
        self.arm("corrected", match={"start": start.isoformat(), "end": end.isoformat()})

    def fired(self) -> Counter[str]:
        return self._fired + self._armed()

    def _note(self) -> None:
        self._fired = self.fired()

    def _armed(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        for fault in requests.get(f"{self._url}/sandbox/faults", timeout=10).json()["faults"]:
            counted[fault["kind"]] += fault["fired"]
        return counted


def _streamed() -> dict[str, FeedSpec]:
    """The feeds that have a live stream."""
    return {name: spec for name, spec in feeds().items() if spec.is_streamed}


class _Witness:
    """A second connection that notes each update of a feed from its start to its end, while nothing is disturbed."""

    def __init__(self, settings: Settings, feed: str) -> None:
        self.updates: dict[tuple[str, str], tuple[float | None, ...]] = {}
        self._loop = asyncio.new_event_loop()
        own = settings.model_copy(update={"apca_api_key_id": SecretStr("witness")})
        self._stream = live_stream(own, feeds()[feed], self._hear, lambda told: None, statuses=False)
        self._loop.run_until_complete(self._stream.open())
        self._listening = self._loop.create_task(self._stream.listen())
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["T"] == "u":
            start = datetime.fromtimestamp(message["t"].seconds, UTC)
            self.updates[message["S"], f"{start:%Y-%m-%dT%H:%M:%SZ}"] = _values(message)

    def _listen(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._listening)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._listening.cancel)
        self._thread.join()
        self._loop.run_until_complete(self._stream.close())
        self._loop.close()


@contextmanager
def _platform(home: Path, url: str) -> Iterator[Settings]:
    """Kafka, Spark, the emulator, the stream service and the loader, under one supervisord."""
    given = Settings()
    own = Settings(
        crypto_platform_home=home,
        **given.installed,
        apca_api_data_url=url,
        apca_api_key_id=KEY,
        apca_api_secret_key=KEY,
        stream_reconcile_interval_seconds=600,
        sandbox_startup_timeout_seconds=max(300.0, given.sandbox_startup_timeout_seconds),
        **{f"{name}_port": 0 for name in _PORTS},
    )
    with supervise.sandbox(own, SYSTEMS) as settings, supervise.sandbox(own, LIVE):
        yield settings


def _disturb(
    settings: Settings, alpaca: _Alpaca, platform: Platform, seconds: float, chance: random.Random, tell: Tell
) -> Counter[str]:
    """Every disturbance again and again in a changing order, each at least once; how often each happened."""
    killed: Counter[str] = Counter()
    until = time.monotonic() + seconds
    every = [*DISTURBANCES, *platform.kills, "corrected"]
    actions = chance.sample(every, len(every))
    pause = min(8.0, seconds / (len(every) + 2))
    first_round = len(actions)
    while time.monotonic() < until or first_round > 0:
        actions = actions or chance.sample(every, len(every))
        action, first_round = actions.pop(), first_round - 1
        tell(action)
        if action in platform.kills:
            killed[platform.kill(settings, action)] += 1
        elif action == "corrected":
            alpaca.correct()
        elif action == "mute":
            alpaca.arm("mute", times=4)
        else:
            alpaca.arm(action, times=2)
            if action in ("connection_limit", "server_error"):
                # It is at the next connection, or at its look by REST, that this one is met.
                alpaca.arm("disconnect")
        time.sleep(pause)
    # What is armed has still to fire.
    with suppress(TimeoutError):
        _wait(lambda: all(alpaca.fired()[kind] for kind in DISTURBANCES), 60)
    return alpaca.fired() + killed


def kill(settings: Settings, name: str) -> str:
    """Kill a service under supervisord, which starts it again; the emulator is restarted. Says what was done."""
    if name == "snowflake":
        with suppress(SandboxError):
            supervise.restart(settings, name)
        return "restart of the emulator"
    for service in supervise.status(settings):
        if service.name == name and service.pid:
            with suppress(ProcessLookupError):
                os.kill(service.pid, signal.SIGKILL)
    return f"kill -9 {name}"


EMBEDDED = Platform(_platform, kill, KILLS, (*SYSTEMS, *LIVE))


def _mend(settings: Settings, supervised: Iterable[str]) -> None:
    """supervisord starts again what was killed; what died more often than it tries is started here."""
    supervisord = Supervisord.find(settings)
    assert supervisord
    for name in supervised:
        if not supervisord.is_up(SERVICES[name]):
            supervise.restart(settings, name)


def _recovered(
    settings: Settings, alpaca: _Alpaca
) -> tuple[datetime, dict[str, datetime], dict[tuple[str, str], tuple[float | None, ...]]]:
    """Stop the stream once it is well and has looked at REST.

    Returns the market's time then, until when REST was asked by feed, and the updates that crypto was sent meanwhile.
    """
    verified: dict[str, datetime] = {}

    def health() -> dict[str, Any]:
        with suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{settings.stream_port}/health", timeout=5).json()
        return {"ok": False, "feeds": {}}

    def well() -> bool:
        told = health()
        verified.update({name: datetime.fromisoformat(f["verified_until"]) for name, f in told["feeds"].items()})
        return told["ok"] and len(verified) == len(_streamed()) and all(v > began for v in verified.values())

    _await(lambda: health()["ok"], settings, "the stream is connected")
    witness = _Witness(settings, "crypto")
    began = alpaca.now()
    try:
        _await(well, settings, "the stream is well")
    finally:
        witness.end()
    last = alpaca.now()
    supervisord = Supervisord.find(settings)
    assert supervisord
    supervisord.rpc.stopProcess(SERVICES["stream"].program)
    return last, verified, witness.updates


def _ask(settings: Settings, days: list[date]) -> Lake:
    """What a day's run does first: REST into the lake."""
    lake = Lake(settings.lake)
    with AlpacaClient(settings) as client:
        for name, spec in _streamed().items():
            request = BarsRequest(
                name,
                spec.asset_class,
                spec.symbols,
                bars.Timeframe.parse(spec.timeframe),
                days[0],
                days[-1] + timedelta(days=1),
                spec.alpaca_feed,
                spec.adjustment,
            )
            extract(client, lake, request, "soak")
    return lake


def _publish(settings: Settings, lake: Lake, days: list[date]) -> None:
    """What it does then: the lake onto the topic; the loader does the rest."""
    for name, spec in _streamed().items():
        publish(settings, name, [lake.read_day(name, spec.timeframe, day) for day in days], "soak")
    _drain(settings)


def _drain(settings: Settings) -> None:
    for name in _streamed():
        _await(lambda feed=name: _drained(settings, feed), settings, f"{name} is loaded")


def _truth(lake: Lake, feed: str, timeframe: str, days: list[date]) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """REST's bars of the days."""
    return {
        (bar["symbol"], bar["t"]): _values(bar)
        for day in days
        for section in lake.read_day(feed, timeframe, day).sections.values()
        for bar in map(_parsed, section.lines)
    }


def _compare_live(
    settings: Settings,
    lake: Lake,
    days: list[date],
    verified: dict[str, datetime],
    corrected: list[tuple[datetime, datetime]],
    outcome: Outcome,
) -> None:
    """Before the batch: up to where the service looked at REST, the ledger is to hold what REST had then."""
    for name, spec in _streamed().items():
        current, _ = _ledger(settings, name)
        truth = {
            bar: values
            for bar, values in _truth(lake, name, spec.timeframe, days).items()
            if datetime.fromisoformat(bar[1]) < verified[name]
        }
        missing = [bar for bar in truth if bar not in current]
        other = [
            bar
            for bar in truth
            if bar in current
            and current[bar] != truth[bar]
            # What REST tells otherwise since is for the batch to meet.
            and not any(start <= datetime.fromisoformat(bar[1]) < end for start, end in corrected)
        ]
        outcome.lost += len(missing)
        if missing or other or not truth:
            outcome.wrong.append(
                f"{name}, live: {len(missing)} of {len(truth)} bars missing {missing[:3]}, "
                f"{len(other)} not as REST has them {other[:3]}"
            )


def _compare_updates(
    settings: Settings, updates: dict[tuple[str, str], tuple[float | None, ...]], outcome: Outcome
) -> None:
    """Every update that the market sent while nothing was disturbed is a version."""
    columns = ", ".join(bars.BARS.values)
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT symbol, bar_start, {columns} FROM {bars.BARS.ledger('crypto')} WHERE source = 'stream_update'"
        )
        found = {
            ((symbol, f"{start:%Y-%m-%dT%H:%M:%SZ}"), _numbers(values)) for symbol, start, *values in rows.fetchall()
        }
    lacking = [update for update in updates.items() if update not in found]
    if lacking or not updates:
        outcome.wrong.append(f"{len(lacking)} of {len(updates)} updates are no version: {lacking[:3]}")


def _compare(settings: Settings, lake: Lake, days: list[date], outcome: Outcome) -> None:
    """REST's days against the ledger's current versions, and the ledger against itself."""
    for name, spec in _streamed().items():
        truth = _truth(lake, name, spec.timeframe, days)
        current, versions = _ledger(settings, name)
        outcome.bars += len(current)
        missing = [bar for bar in truth if bar not in current]
        other = [bar for bar in truth if bar in current and current[bar] != truth[bar]]
        unknown = [bar for bar in current if bar not in truth]
        outcome.lost += len(missing)
        if missing or other or unknown:
            outcome.wrong.append(
                f"{name}: {len(missing)} bars missing {missing[:3]}, {len(other)} not as REST has them {other[:3]}, "
                f"{len(unknown)} that REST does not know {unknown[:3]}"
            )
        outcome.doubled += versions
        _check_offsets(settings, name, outcome)


def _check_offsets(settings: Settings, feed: str, outcome: Outcome) -> None:
    """Every message of the topic was loaded by exactly one load, and is in the ledger at most once."""
    ends = topic_state(settings, feed).end
    with connect(settings) as connection:
        cursor = connection.cursor()
        repeated = cursor.execute(
            f"SELECT count(*) FROM (SELECT kafka_partition, kafka_offset FROM {bars.BARS.ledger(feed)} "
            "UNION ALL SELECT kafka_partition, kafka_offset FROM RAW.REJECTED_BARS WHERE feed = %s "
            ") GROUP BY kafka_partition, kafka_offset HAVING count(*) > 1",
            (feed,),
        ).fetchall()
        loads = cursor.execute(
            "SELECT start_offsets, end_offsets, message_count, loaded + unchanged + rejected, offset_gaps "
            "FROM RAW.LOADS WHERE feed = %s",
            (feed,),
        ).fetchall()
    outcome.doubled += len(repeated)
    spans: dict[str, list[tuple[int, int]]] = {}
    for first, after, *_ in loads:
        for partition, start in _parsed(first).items():
            spans.setdefault(partition, []).append((start, _parsed(after)[partition]))
    for partition, end in ends.items():
        place = 0
        for start, after in sorted(spans.get(str(partition), [])):
            if start != place:
                outcome.wrong.append(f"{feed}, partition {partition}: loads go from {place} to {start}")
            place = after
        if place != end:
            outcome.wrong.append(f"{feed}, partition {partition}: loaded to {place}, the topic ends at {end}")
    messages, accounted, gaps = (sum(int(row[n]) for row in loads) for n in (2, 3, 4))
    if not messages == accounted == sum(ends.values()) - gaps:
        outcome.wrong.append(f"{feed}: {sum(ends.values())} messages, {messages} read, {accounted} accounted for")


def _reconcile(settings: Settings, outcome: Outcome) -> None:
    """The model that compares the two ways must find every settled bar reconciled."""
    from crypto_platform.transform.live import build

    build(settings, "+fct_stream_reconciliation")
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            "SELECT feed, symbol, bar_date, only_stream_bars, percent_reconciled FROM MARTS.FCT_STREAM_RECONCILIATION"
        )
        found = rows.fetchall()
    if not found:
        outcome.wrong.append("no day was reconciled")
    outcome.wrong += [f"reconciliation: {row}" for row in found if row[3] or row[4] != 100]


_BAR = ("o", "h", "l", "c", "v", "n", "vw")


def _parsed(text: bytes | str) -> Any:
    import orjson

    return orjson.loads(text)


def _values(bar: dict[str, Any]) -> tuple[float | None, ...]:
    return _numbers(bar.get(name) for name in _BAR)


def _numbers(values: Iterable[Any]) -> tuple[float | None, ...]:
    return tuple(None if value is None else float(value) for value in values)


def _ledger(settings: Settings, feed: str) -> tuple[dict[tuple[str, str], tuple[float | None, ...]], int]:
    """The current versions, and how many versions are equal to the one before them that came the same way."""
    columns = ", ".join(bars.BARS.values)
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT symbol, bar_start, source = 'rest', {columns} FROM {bars.BARS.ledger(feed)} "
            "ORDER BY symbol, timeframe, bar_start, observed_at, loaded_at, kafka_partition, kafka_offset"
        )
        found = rows.fetchall()
    current: dict[tuple[str, str], tuple[float | None, ...]] = {}
    ways: dict[tuple[str, str], bool] = {}
    doubled = 0
    for symbol, start, way, *values in found:
        bar = symbol, f"{start:%Y-%m-%dT%H:%M:%SZ}"
        told = _numbers(values)
        doubled += current.get(bar) == told and ways[bar] == way
        current[bar], ways[bar] = told, way
    return current, doubled


def _count(settings: Settings, condition: str) -> int:
    with connect(settings) as connection:
        return sum(
            int(
                connection.cursor()
                .execute(f"SELECT count(*) FROM {bars.BARS.ledger(f)} WHERE {condition}")
                .fetchall()[0][0]
            )
            for f in _streamed()
        )


def _loaded(settings: Settings, feed: str) -> int:
    """Messages of the feed in loads that are committed; 0 while nothing can be asked."""
    from snowflake.connector.errors import Error

    try:
        with connect(settings) as connection:
            rows = connection.cursor().execute(
                "SELECT coalesce(sum(message_count), 0) FROM RAW.LOADS WHERE feed = %s", (feed,)
            )
            return int(rows.fetchall()[0][0])
    except (Error, QueryError):
        return 0


def _drained(settings: Settings, feed: str) -> bool:
    with suppress(TopicError):
        return _loaded(settings, feed) >= sum(topic_state(settings, feed).end.values())
    return False


def _wait(condition: Callable[[], Any], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.5)


def _await(condition: Callable[[], Any], settings: Settings, what: str) -> None:
    try:
        _wait(condition, SETTLE_SECONDS)
    except TimeoutError:
        logs = settings.crypto_platform_home / "sandbox" / "logs"
        tails = [f"{name}:\n{(logs / f'{name}.log').read_text()[-1500:]}" for name in LIVE]
        raise AssertionError(f"after {SETTLE_SECONDS:.0f} s it is not true that {what}\n" + "\n".join(tails)) from None


def main(minutes: float = 30, seed: int = 0) -> None:
    """Disturb the live path for `minutes` and compare its ledger. Exit code 1: something was lost, doubled or wrong."""
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as home:
        try:
            outcome = soak(minutes, Path(home), tell, seed)
        # Of what did not become true in time; of a sandbox that does not answer, on a machine that is too busy.
        except (TimeoutError, AssertionError, requests.RequestException) as error:
            print(f"The soak ended early: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
    for kind, count in sorted(outcome.faults.items()):
        print(f"{kind:<28}{count:>6}")
    for problem in outcome.wrong:
        print(problem)
    print(outcome.line)
    raise typer.Exit(1 if outcome.wrong or outcome.lost or outcome.doubled else 0)


if __name__ == "__main__":
    typer.run(main)
