"""The spool on disk: what was put is there in its order, until it is taken away."""

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_platform.ingestion.spool import Message, Spool, SpoolFullError
from crypto_platform.market.trading_statuses import TRADING_STATUSES

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, UTC)
LIMIT = 10_000
WRITER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from crypto_platform.ingestion.spool import Message, Spool

spool = Spool(Path(sys.argv[1]), 10**9)
n = 0
while True:
    spool.put([Message("crypto", "BTC/USD", b"%d" % (n + i), "stream", datetime.now(UTC)) for i in range(10)])
    n += 10
    print(n, flush=True)
"""


def message(value: bytes) -> Message:
    return Message("crypto", "BTC/USD", value, "stream", NOON)


def test_messages_come_back_as_they_went_in_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a" / "spool.sqlite"
    spool = Spool(path, LIMIT)
    put = [message(b"%d" % n) for n in range(5)]
    spool.put(put[:2])
    spool.put(put[2:])
    numbers = [number for number, _ in spool.after(0, 10)]
    assert [m for _, m in spool.after(0, 10)] == put
    assert [m for _, m in spool.after(numbers[1], 2)] == put[2:4]
    spool.remove(numbers[:3])
    spool.close()
    again = Spool(path, LIMIT)
    assert (again.messages, again.bytes) == (2, 2)
    assert [m for _, m in again.after(0, 10)] == put[3:]
    again.remove(numbers)
    again.put([message(b"new")])
    assert again.after(0, 10)[0][0] > numbers[-1], "a number is never given twice"
    again.close()


def test_messages_of_a_spool_of_before_there_were_statuses_are_bars(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    with sqlite3.connect(path) as before:
        for table in ("messages", "refused"):
            rest = ", reason TEXT NOT NULL, refused_at TEXT NOT NULL" if table == "refused" else ""
            before.execute(
                f"CREATE TABLE {table} (number INTEGER PRIMARY KEY, feed TEXT NOT NULL, symbol TEXT NOT NULL, "
                f"value BLOB NOT NULL, source TEXT NOT NULL, observed_at TEXT NOT NULL{rest})"
            )
        before.execute("INSERT INTO messages VALUES (1, 'crypto', 'BTC/USD', x'31', 'stream', ?)", (NOON.isoformat(),))
    status = replace(message(b"2"), dataset=TRADING_STATUSES)
    for _ in range(2):
        spool = Spool(path, LIMIT)
        if spool.messages == 1:
            spool.put([status])
        assert [m for _, m in spool.after(0, 10)] == [message(b"1"), status]
        spool.close()


def test_a_full_spool_takes_nothing_more_until_it_is_emptied(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 10)
    spool.put([message(b"12345")])
    with pytest.raises(SpoolFullError, match="STREAM_SPOOL_MB"):
        spool.put([message(b"12345"), message(b"6")])
    assert (spool.messages, spool.bytes) == (1, 5)
    spool.remove([spool.after(0, 1)[0][0]])
    spool.put([message(b"1234567890")])
    spool.close()


def test_what_kafka_refuses_is_put_aside_with_its_reason(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", LIMIT)
    spool.put([message(b"good"), message(b"bad")])
    number = spool.after(0, 2)[1][0]
    spool.refuse(number, "MSG_SIZE_TOO_LARGE")
    assert [m.value for _, m in spool.after(0, 10)] == [b"good"]
    (refused,) = spool.refused()
    assert (refused.number, refused.message, refused.reason) == (number, message(b"bad"), "MSG_SIZE_TOO_LARGE")
    spool.close()


def test_a_killed_writer_loses_nothing_that_it_put(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        told = 0
        while told < 200:
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    told = max([told, *map(int, rest[:-1])])
    spool = Spool(path, 10**9)
    found = [int(m.value) for _, m in spool.after(0, 10**6)]
    assert found == list(range(len(found)))
    assert len(found) >= told
    spool.close()
