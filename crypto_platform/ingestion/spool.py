"""Messages on their way to Kafka, on disk: none is lost when Kafka is away or this process is killed."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset, format_time
from crypto_platform.market.datasets import DATASETS
from crypto_platform.settings import Settings


class SpoolFullError(RuntimeError):
    """The spool has reached its limit; nothing of what was put was kept."""


@dataclass(frozen=True)
class Message:
    """A message before it is sent: its feed, key, wire line, source, when Alpaca told it (UTC), and what it is of."""

    feed: str
    symbol: str
    value: bytes
    source: str
    observed_at: datetime
    dataset: Dataset = BARS


@dataclass(frozen=True)
class Refused:
    """A message that Kafka will never take, with its reason; `number` names it."""

    number: int
    message: Message
    reason: str
    refused_at: datetime


_COLUMNS = "feed, symbol, value, source, observed_at, dataset"
# 0.1.0 knew bars alone.
_DATASET = f"dataset TEXT NOT NULL DEFAULT '{BARS.name}'"
_TABLES = (
    # AUTOINCREMENT: the number of a message that was removed is never given again.
    "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, "
    f"symbol TEXT NOT NULL, value BLOB NOT NULL, source TEXT NOT NULL, observed_at TEXT NOT NULL, {_DATASET})",
    "CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, feed TEXT NOT NULL, symbol TEXT NOT NULL, "
    "value BLOB NOT NULL, source TEXT NOT NULL, observed_at TEXT NOT NULL, reason TEXT NOT NULL, "
    f"refused_at TEXT NOT NULL, {_DATASET})",
)


def folder(settings: Settings) -> Path:
    """Where the stream service keeps its spool and how far it has come."""
    return settings.crypto_platform_home / "stream"


class Spool:
    """A queue in one SQLite file of at most `limit` bytes of messages; may be used by several threads.

    A killed process loses nothing that was put; a machine that loses power may lose the last moments, which the
    stream's sweep finds again.
    """

    @classmethod
    def open(cls, settings: Settings) -> "Spool":
        """The one of this home."""
        return cls(folder(settings) / "spool.sqlite", settings.stream_spool_mb * 2**20)

    def __init__(self, path: Path, limit: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._limit = limit
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        for table in _TABLES:
            self._database.execute(table)
        for table in ("messages", "refused"):
            if "dataset" not in [name for _, name, *_ in self._database.execute(f"PRAGMA table_info({table})")]:
                self._database.execute(f"ALTER TABLE {table} ADD COLUMN {_DATASET}")
        counted = "SELECT count(*), coalesce(sum(length(value)), 0) FROM messages"
        self.messages, self.bytes = self._database.execute(counted).fetchone()

    def put(self, messages: Sequence[Message]) -> None:
        """Add messages, all or none.

        Raises:
            SpoolFullError: there is no room for them.
        """
        size = sum(len(message.value) for message in messages)
        with self._lock:
            if self.bytes + size > self._limit:
                raise SpoolFullError(
                    f"{self.bytes} bytes of bars wait for Kafka already, of {self._limit} (STREAM_SPOOL_MB)"
                )
            with self._transaction():
                self._database.executemany(
                    f"INSERT INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (m.feed, m.symbol, m.value, m.source, format_time(m.observed_at), m.dataset.name)
                        for m in messages
                    ],
                )
            self.messages += len(messages)
            self.bytes += size

    def after(self, number: int, limit: int) -> list[tuple[int, Message]]:
        """At most `limit` messages with a higher number, in the order in which they were put."""
        with self._lock:
            found = self._database.execute(
                f"SELECT number, {_COLUMNS} FROM messages WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
            ).fetchall()
        return [(number, _message(row)) for number, *row in found]

    def oldest(self) -> datetime | None:
        """When the first message was observed; None: there is none."""
        return next((message.observed_at for _, message in self.after(0, 1)), None)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget messages that are in Kafka."""
        with self._lock:
            with self._transaction():
                removed = [size for number in numbers for size in self._remove(number)]
            self._count_off(removed)

    def refuse(self, number: int, reason: str) -> None:
        """Put a message aside for good."""
        with self._lock:
            with self._transaction():
                self._database.execute(
                    f"INSERT INTO refused (number, {_COLUMNS}, reason, refused_at) "
                    f"SELECT number, {_COLUMNS}, ?, ? FROM messages WHERE number = ?",
                    (reason, format_time(datetime.now(UTC)), number),
                )
                removed = self._remove(number)
            self._count_off(removed)

    def refused(self) -> list[Refused]:
        """What was put aside, the oldest first."""
        with self._lock:
            rows = self._database.execute(
                f"SELECT number, {_COLUMNS}, reason, refused_at FROM refused ORDER BY number"
            ).fetchall()
        return [Refused(number, _message(row), reason, datetime.fromisoformat(at)) for number, *row, reason, at in rows]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _remove(self, number: int) -> list[int]:
        removed = self._database.execute("DELETE FROM messages WHERE number = ? RETURNING length(value)", (number,))
        return [size for (size,) in removed.fetchall()]

    def _count_off(self, removed: Sequence[int]) -> None:
        """Once it is committed: what was rolled back is still there."""
        self.messages -= len(removed)
        self.bytes -= sum(removed)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database)


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            # A full disk may end it by itself, or leave it open, which the next one would stumble over.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


def _message(row: Sequence[object]) -> Message:
    feed, symbol, value, source, at, dataset = row
    observed_at = datetime.fromisoformat(str(at))
    return Message(str(feed), str(symbol), bytes(value), str(source), observed_at, DATASETS[str(dataset)])  # type: ignore[call-overload]
