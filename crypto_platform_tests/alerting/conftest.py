"""A clock that a test moves, a channel that a test breaks, a receiver of HTTP and one of SMTP."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto_platform.alerting.alert import Alert, Severity
from crypto_platform.alerting.channels import ChannelUnavailableError, MessageRejectedError
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.alerting.message import Item, Message
from crypto_platform.settings import Settings
from crypto_platform_tests.alerting.receivers import HttpReceiver, MailReceiver

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class Clock:
    """Calling it gives the time; it stands still until it is told to go on."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Memory:
    """A channel that keeps what it was told, unless the test has it down."""

    clock: Clock
    name: str = "memory"
    down: bool = False
    refused: set[str] = field(default_factory=set)
    posts: list[tuple[datetime, Message]] = field(default_factory=list)

    def post(self, message: Message) -> None:
        if self.down:
            raise ChannelUnavailableError("it is down")
        if self.refused & {item.alert.fingerprint for item in message.items}:
            raise MessageRejectedError("not this one")
        self.posts.append((self.clock(), message))

    @property
    def titles(self) -> list[str]:
        return [message.title for _, message in self.posts]

    @property
    def items(self) -> list[tuple[datetime, Item]]:
        return [(at, item) for at, message in self.posts for item in message.items]


def alert(fingerprint: str = "a", severity: Severity = Severity.ERROR, **fields: object) -> Alert:
    """An alert of this fingerprint."""
    given = {"kind": "test", "summary": f"{fingerprint} is wrong", "started_at": NOON, **fields}
    return Alert(fingerprint=fingerprint, severity=severity, **given)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(clock)


@pytest.fixture
def alert_settings(tmp_path: Path) -> Settings:
    return Settings(crypto_platform_home=tmp_path / "home")


@pytest.fixture
def manager(alert_settings: Settings, clock: Clock, memory: Memory) -> AlertManager:
    return AlertManager(alert_settings, clock, [memory])


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailReceiver]:
    with MailReceiver(tmp_path) as receiver:
        yield receiver
