"""Which observations become versions: the load's SQL against a reference in plain Python."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snowflake.connector.errors import OperationalError

from crypto_platform.connectors.snowflake import schema
from crypto_platform.ingestion import staging_table
from crypto_platform.ingestion.ledger import Load, LoadNotCommittedError, commit, insert_versions
from crypto_platform.ingestion.offsets import ConcurrentLoadError
from crypto_platform.ingestion.stage import columns
from crypto_platform.market import bars, dataset

FEED = "crypto"
NOON = datetime(2026, 1, 1, 12)  # noqa: DTZ001


@dataclass(frozen=True)
class Observation:
    """Of one of two bars, at one of a few moments, one of a few values; None is an absent trade count."""

    bar: int
    observed: int
    close: float
    count: int | None
    source: str = "rest"

    @property
    def values(self) -> tuple[float, int | None]:
        return self.close, self.count

    @property
    def compared(self) -> tuple[float, int | None, bool]:
        """What an observation differs from the one before it in: its values, and the way it came."""
        return self.close, self.count, self.source == "rest"


Version = tuple[int, int, float, int | None]

observations = st.builds(
    Observation,
    bar=st.integers(0, 1),
    observed=st.integers(0, 4),
    close=st.sampled_from([1.0, 2.0]),
    count=st.sampled_from([None, 0, 1]),
    source=st.sampled_from(dataset.SOURCES),
)
batches = st.lists(st.lists(observations, max_size=8), min_size=1, max_size=4)


def reference(loads: list[list[Observation]]) -> list[Version]:
    """The versions after these loads: an observation is one if it differs from the one just before it."""
    versions: list[tuple[int, Observation]] = []
    for batch in loads:
        known = [(v.observed, 0, number, v) for number, v in sorted(versions, key=lambda v: v[0])]
        told = [(o.observed, 1, number, o) for number, o in enumerate(batch)]
        for bar in (0, 1):
            before: Observation | None = None
            for _, is_new, _, observation in sorted((e for e in known + told if e[3].bar == bar), key=lambda e: e[:3]):
                if is_new and (before is None or before.compared != observation.compared):
                    versions.append((len(versions), observation))
                before = observation
    return sorted(((v.bar, v.observed, *v.values) for _, v in versions), key=str)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Any]:
    """The emulator inside this process: the same dialect, without the wire."""
    from fakesnow.instance import FakeSnow

    connection: Any = FakeSnow().connect("MARKET", "RAW")
    connection.host, connection.port = "in this process", 0
    schema.ensure_schema(connection, FEED)
    yield connection
    connection.close()


def load_batch(connection: Any, number: int, batch: list[Observation]) -> None:
    cursor = connection.cursor()
    table = staging_table.table_name(f"20260101T000000_{number:012x}")
    cursor.execute(
        f"CREATE OR REPLACE TABLE {table} ({', '.join(f'{c.name} {c.snowflake}' for c in columns(bars.BARS))})"
    )
    names = [*(f.column for f in bars.FIELDS), "source", "observed_at", "kafka_partition", "kafka_offset"]
    for offset, o in enumerate(batch):
        row = dict.fromkeys(("open", "high", "low", "close", "volume"), o.close) | {
            "symbol": "BTC/USD",
            "timeframe": "1Min",
            "bar_start": (NOON + timedelta(minutes=o.bar)).isoformat(),
            "trade_count": o.count,
            "vwap": None,
            "source": o.source,
            "observed_at": (NOON + timedelta(hours=o.observed)).isoformat(),
            "kafka_partition": 0,
            "kafka_offset": number * 100 + offset,
        }
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
            tuple(row[name] for name in names),
        )
    load = Load(f"load{number}", FEED, "topic", "id", "run", "market", NOON, bars.BARS, {}, 60)
    insert_versions(cursor, load, table, (NOON, NOON + timedelta(minutes=1)))


def versions(connection: Any) -> list[Version]:
    rows = connection.cursor().execute(
        f"SELECT bar_start, observed_at, close, trade_count FROM {schema.BARS.ledger(FEED)}"
    )
    return sorted(
        (
            (int((start - NOON).total_seconds() // 60), int((observed - NOON).total_seconds() // 3600), close, count)
            for start, observed, close, count in rows.fetchall()
        ),
        key=str,
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(loads=batches)
def test_versions_are_the_references(emulator: Any, loads: list[list[Observation]]) -> None:
    emulator.cursor().execute(f"DELETE FROM {schema.BARS.ledger(FEED)}")
    for number, batch in enumerate(loads):
        load_batch(emulator, number, batch)
    assert versions(emulator) == reference(loads)
    # The newest observation, published again, adds nothing.
    newest = max((o.observed for batch in loads for o in batch), default=None)
    load_batch(emulator, len(loads), [o for o in loads[-1] if o.observed == newest][-1:])
    assert versions(emulator) == reference(loads)


def test_a_correction_is_a_second_version_and_a_repetition_is_none(emulator: Any) -> None:
    emulator.cursor().execute(f"DELETE FROM {schema.BARS.ledger(FEED)}")
    load_batch(emulator, 0, [Observation(0, 0, 1.0, 1)])
    load_batch(emulator, 1, [Observation(0, 1, 1.0, 1), Observation(0, 2, 2.0, 1), Observation(0, 3, 2.0, 1)])
    assert versions(emulator) == [(0, 0, 1.0, 1), (0, 2, 2.0, 1)]


def test_a_count_that_becomes_known_is_a_version(emulator: Any) -> None:
    emulator.cursor().execute(f"DELETE FROM {schema.BARS.ledger(FEED)}")
    load_batch(emulator, 0, [Observation(0, 0, 1.0, None)])
    load_batch(emulator, 1, [Observation(0, 1, 1.0, None), Observation(0, 2, 1.0, 0)])
    assert versions(emulator) == [(0, 0, 1.0, None), (0, 2, 1.0, 0)]


def test_what_came_by_stream_is_settled_by_rest_once(emulator: Any) -> None:
    emulator.cursor().execute(f"DELETE FROM {schema.BARS.ledger(FEED)}")
    load_batch(emulator, 0, [Observation(0, 0, 1.0, 1, "stream"), Observation(0, 1, 1.0, 1, "stream_update")])
    load_batch(emulator, 1, [Observation(0, 2, 1.0, 1)])
    load_batch(emulator, 2, [Observation(0, 3, 1.0, 1), Observation(0, 4, 1.0, 1)])
    assert versions(emulator) == [(0, 0, 1.0, 1), (0, 2, 1.0, 1)]


def test_an_older_observation_that_comes_late_is_history(emulator: Any) -> None:
    emulator.cursor().execute(f"DELETE FROM {schema.BARS.ledger(FEED)}")
    load_batch(emulator, 0, [Observation(0, 3, 2.0, 1)])
    load_batch(emulator, 1, [Observation(0, 1, 1.0, 1), Observation(0, 2, 1.0, 1)])
    assert versions(emulator) == [(0, 1, 1.0, 1), (0, 3, 2.0, 1)]


@pytest.mark.parametrize("feed", ["'; drop table x; --", "../../etc", "Crypto", "", "a b"])
def test_a_feed_that_is_no_name_never_reaches_sql(feed: str) -> None:
    with pytest.raises(ValueError, match="not a feed's name"):
        schema.BARS.ledger(feed)


@pytest.mark.parametrize("load_id", ["x; drop table y", "20260101T000000_zz", ""])
def test_a_load_id_that_is_none_never_reaches_sql(load_id: str) -> None:
    with pytest.raises(ValueError, match="not a load's id"):
        staging_table.table_name(load_id)


class Locked:
    """A session in which every change waits for a lock in vain, and nothing is found; `errno` says who gave up."""

    def __init__(self, errno: int) -> None:
        self.errno = errno

    def __enter__(self) -> "Locked":
        return self

    def __exit__(self, *_: object) -> None: ...

    def cursor(self) -> "Locked":
        return self

    def execute(self, statement: str, *_: object, **__: object) -> "Locked":
        if not statement.startswith(("BEGIN", "ROLLBACK", "SELECT")):
            raise OperationalError(f"{statement} gave up", errno=self.errno)
        return self

    def fetchall(self) -> list[tuple[object, ...]]:
        return []

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(())


@pytest.mark.parametrize(
    ("errno", "expected"), [(625, ConcurrentLoadError), (604, ConcurrentLoadError), (250003, LoadNotCommittedError)]
)
def test_a_lock_that_is_not_had_is_another_load_s(errno: int, expected: type[Exception]) -> None:
    """625 by Snowflake, 604 by the client: https://docs.snowflake.com/en/sql-reference/transactions#resource-locking"""
    session: Any = Locked(errno)
    # Offsets are found where this load found them: nobody has moved them.
    load = Load("20260101T000000_0123456789ab", "made", "t", "id", "run", "o", datetime(2026, 1, 1), bars.BARS, {}, 9)  # noqa: DTZ001
    scratch = staging_table.Scratch("RAW.SCRATCH", 0, 0, 0, None)
    with pytest.raises(expected):
        commit(session, lambda: session, load, scratch)
