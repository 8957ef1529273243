"""The stream service in this process, beside an Alpaca sandbox of the test's own that replays faster than time."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from crypto_platform.connectors.kafka.admin import TopicError, client_config, topic_state
from crypto_platform.market import dataset
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings
from crypto_platform.streaming.service import Service
from crypto_platform_tests.connectors.alpaca.conftest import KEY, SECRET

START = "2026-03-02T15:00:00Z"
SECONDS = 40.0


def crypto(*symbols: str) -> FeedSpec:
    return FeedSpec(
        asset_class="crypto", symbols=symbols or ("BTC/USD", "ETH/USD"), timeframe="1Min", start_date=date(2026, 1, 1)
    )


def stocks(*symbols: str) -> FeedSpec:
    return FeedSpec(
        asset_class="us_equity",
        symbols=symbols or ("AAPL", "SPY"),
        timeframe="15Min",
        start_date=date(2026, 1, 1),
        alpaca_feed="iex",
        # The sandbox has no plan that makes REST late.
        vendor_delay_minutes=0,
    )


def live_settings(settings: Settings, url: str, home: Path, **changes: Any) -> Settings:
    """The sandbox's settings with another Alpaca, a home of the service's own and free ports."""
    fields = {
        "apca_api_data_url": url,
        "apca_api_key_id": KEY,
        "apca_api_secret_key": SECRET,
        "alpaca_backoff_seconds": 0.05,
        "crypto_platform_home": home,
        "stream_port": 0,
        "loader_port": 0,
    }
    return Settings(_env_file=None, **{**settings.model_dump(), **fields, **changes})


@dataclass
class Streaming:
    """A service that runs."""

    service: Service
    problems: list[str] = field(default_factory=list)

    def state(self, feed: str) -> dict[str, Any]:
        return self.service.health()[1]["feeds"].get(feed, {})

    def value(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(f"crypto_platform_stream_{name}", labels) or 0.0


@contextmanager
def streaming(settings: Settings, feeds: dict[str, FeedSpec]) -> Iterator[Streaming]:
    """Run the service while the block runs; its end is a SIGTERM's."""
    service = Service(settings, feeds)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            assert loop.run_until_complete(service.run(stop)), "not everything was confirmed"
        except BaseException as error:
            failure.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield Streaming(service)
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failure:
        raise failure[0]


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


@dataclass(frozen=True)
class Published:
    """A message of a topic."""

    partition: int
    offset: int
    source: str
    observed_at: str
    bar: dict[str, Any]

    @property
    def minute(self) -> tuple[str, str]:
        return self.bar["symbol"], self.bar["t"]


def published(settings: Settings, feed: str, kind: Dataset = BARS) -> list[Published]:
    """Everything on the topic of that kind, in the order of partition and offset; nothing when there is no topic."""
    try:
        state = topic_state(settings, feed, kind)
    except TopicError:
        return []
    wanted = sum(state.end.values()) - sum(state.earliest.values())
    consumer = Consumer(client_config(settings) | {"group.id": feed, "enable.auto.commit": False})
    consumer.assign([TopicPartition(state.topic, p, first) for p, first in state.earliest.items()])
    found: list[Published] = []
    try:
        while len(found) < wanted:
            for message in consumer.consume(wanted, timeout=0.2):
                assert message.error() is None
                headers = {name: value.decode() for name, value in message.headers() or []}
                assert headers[dataset.HEADER_SCHEMA_VERSION] == "1"
                bar = orjson.loads(message.value() or b"")
                assert message.key() == bar["symbol"].encode()
                found.append(
                    Published(
                        message.partition() or 0,
                        message.offset() or 0,
                        headers[dataset.HEADER_SOURCE],
                        headers[dataset.HEADER_OBSERVED_AT],
                        bar,
                    )
                )
    finally:
        consumer.close()
    return sorted(found, key=lambda m: (m.partition, m.offset))
