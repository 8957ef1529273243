"""The lake beside the ledger: whether the current versions are what the lake holds, partition by partition.

A partition's digest is the sum, modulo 2^128, of the BLAKE2b hashes of its records' values: it does not depend on their
order, so both sides are read once, as they come, in memory that does not grow with the records. When a version was
observed, and by which way it came, is not compared: the lake has the newest answer, the ledger the first that said so.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.ledger_checks import (
    Balance,
    balance,
    current_records,
    rejected_values,
)
from crypto_platform.connectors.snowflake.statements import DOES_NOT_EXIST
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.trading_statuses import TRADING_STATUSES

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_MODULUS = 2**128

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Fingerprint:
    """How many records a partition has, and their digest in hexadecimal."""

    records: int
    digest: str


Fingerprints = Mapping[date, Fingerprint]
"""By UTC day; of corporate actions by process date."""


@dataclass(frozen=True)
class Difference:
    """A partition that two sides do not have the same of; None where one has nothing."""

    partition: date
    expected: Fingerprint | None
    found: Fingerprint | None

    def line(self, expected_in: str) -> str:
        """`2026-03-01: 1,440 in the lake, 1,439 in the ledger`."""
        expected, found = (side.records if side else 0 for side in (self.expected, self.found))
        same = ", with other values" if expected == found else ""
        return f"{self.partition}: {expected:,} in {expected_in}, {found:,} in the ledger{same}"


@dataclass(frozen=True)
class Reconciliation:
    """A ledger beside what it is expected to hold, and beside the sum of its loads."""

    table: str
    expected: Fingerprints
    found: Fingerprints
    balance: Balance

    @property
    def records(self) -> int:
        return sum(partition.records for partition in self.found.values())

    @property
    def differences(self) -> list[Difference]:
        """The partitions that differ, ascending."""
        days = sorted({*self.expected, *self.found})
        both = ((day, self.expected.get(day), self.found.get(day)) for day in days)
        return [Difference(day, expected, found) for day, expected, found in both if expected != found]

    @property
    def agrees(self) -> bool:
        return not self.differences and self.balance.held == self.balance.loaded


def kept(spec: FeedSpec) -> dict[Dataset, str]:
    """The feed's datasets that the lake keeps, and the folder of each; trading statuses come by the stream alone."""
    return {d: spec.timeframe if d is BARS else d.name for d in spec.datasets if d is not TRADING_STATUSES}


def of_ledger(connection: "SnowflakeConnection", feed: str, spec: FeedSpec, dataset: Dataset) -> Fingerprints:
    """The ledger's current versions; of bars those of the feed's timeframe."""
    place = [field.column for field in dataset.fields].index(dataset.time)
    records = current_records(connection, feed, dataset, spec.timeframe)
    return _fingerprints((_day(record[place]), _text(record)) for record in records)


def of_lake(lake: Lake, connection: "SnowflakeConnection", feed: str, spec: FeedSpec, dataset: Dataset) -> Fingerprints:
    """The lake's records without those that loads rejected, which `RAW.REJECTED_…` has.

    Raises:
        LakeDayDamagedError: a file is cut or altered.
    """
    rejected: set[bytes] = _if_there(partial(rejected_values, connection, feed, dataset), set())
    return _fingerprints(_of_lake(lake, feed, kept(spec)[dataset], dataset, rejected))


def held(connection: "SnowflakeConnection", feeds: Mapping[str, FeedSpec]) -> dict[str, dict[str, tuple[int, str]]]:
    """The fingerprints of all ledgers that are there, by table and day, as JSON's own types; `parsed` reads them."""
    asked = ((feed, spec, dataset) for feed, spec in feeds.items() for dataset in kept(spec))
    return {
        dataset.ledger(feed): {day.isoformat(): (one.records, one.digest) for day, one in partitions.items()}
        for feed, spec, dataset in asked
        if (partitions := _if_there(partial(of_ledger, connection, feed, spec, dataset), None)) is not None
    }


def parsed(ledgers: Mapping[str, Mapping[str, tuple[int, str]]]) -> dict[str, Fingerprints]:
    """What `held` gave."""
    return {
        table: {date.fromisoformat(day): Fingerprint(*partition) for day, partition in partitions.items()}
        for table, partitions in ledgers.items()
    }


def reconcile(
    lake: Lake, connection: "SnowflakeConnection", feed: str, spec: FeedSpec, expected: Mapping[str, Fingerprints]
) -> Iterator[Reconciliation]:
    """Each ledger of a feed beside `expected`, by the tables' names, or beside the lake where that has not the table.

    Raises:
        LakeDayDamagedError: a file is cut or altered.
    """
    for dataset in kept(spec):
        table = dataset.ledger(feed)
        wanted = expected.get(table)
        if wanted is None:
            wanted = of_lake(lake, connection, feed, spec, dataset)
        nothing: Fingerprints = {}
        found = _if_there(partial(of_ledger, connection, feed, spec, dataset), nothing)
        sums = _if_there(partial(balance, connection, feed, dataset), Balance(0, 0))
        yield Reconciliation(table, wanted, found, sums)


def _if_there(ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """What is answered, or the other where there is no such table: then nothing was ever loaded."""
    from snowflake.connector.errors import ProgrammingError

    try:
        return ask()
    except ProgrammingError as error:
        if error.errno != DOES_NOT_EXIST:
            raise
        return otherwise


def _of_lake(
    lake: Lake, feed: str, folder: str, dataset: Dataset, rejected: set[bytes]
) -> Iterator[tuple[date, bytes]]:
    # A key without a time may be in the files of two days: then the answer of later counts.
    newest: dict[tuple[Any, ...], tuple[datetime, date, bytes]] = {}
    columns = [field.column for field in dataset.fields]
    place, key = columns.index(dataset.time), [columns.index(column) for column in dataset.key]
    for day in lake.days(feed, folder):
        for section in lake.read_day(feed, folder, day).sections.values():
            for line in section.lines:
                if line in rejected:
                    continue
                try:
                    record = _record(line, dataset)
                except (ValueError, TypeError):
                    # Neither loaded nor rejected: it is missing.
                    yield day, line
                    continue
                if place in key:
                    yield _day(record[place]), _text(record)
                else:
                    known = tuple(record[n] for n in key)
                    if known not in newest or newest[known][0] <= section.observed_at:
                        newest[known] = section.observed_at, _day(record[place]), _text(record)
    yield from ((day, text) for _, day, text in newest.values())


def _fingerprints(records: Iterable[tuple[date, bytes]]) -> dict[date, Fingerprint]:
    counts: Counter[date] = Counter()
    sums: Counter[date] = Counter()
    for day, text in records:
        counts[day] += 1
        sums[day] = (sums[day] + int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())) % _MODULUS
    return {day: Fingerprint(count, f"{sums[day]:032x}") for day, count in counts.items()}


# What Spark makes of JSON's values, and Snowflake gives back.
_VALUES: dict[str, Callable[[Any], Any]] = {
    "STRING": str,
    "TIMESTAMP_NTZ": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
    "DATE": date.fromisoformat,
    "DOUBLE": float,
    "BIGINT": int,
    "BOOLEAN": bool,
}


def _record(line: bytes, dataset: Dataset) -> tuple[Any, ...]:
    values = orjson.loads(line)
    found = ((values.get(field.wire), _VALUES[field.spark]) for field in dataset.fields)
    return tuple(None if value is None else convert(value) for value, convert in found)


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _text(record: tuple[Any, ...]) -> bytes:
    return repr(record).encode(errors="surrogatepass")
