"""The lake: what Alpaca answered, a file a day, so that a topic can be republished without asking again.

``<lake>/<feed>/<timeframe>/<YYYY-MM-DD>.jsonl.zst``: a header line, then one wire line (`bars.encode`) a bar,
sorted by symbol, then time. Corporate actions lie beside them, under `corporate_actions` for a timeframe. The header
says how many bars each symbol has (zero is said, not left out), when they were observed, and a SHA-256 over itself and
the lines, so that a cut or damaged file is never read as a shorter day.

``<lake>/<feed>/universe/<YYYY-MM-DD>.json``: the members of the feed's universe on that day.
"""

import hashlib
import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import fsspec
import orjson
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from crypto_platform.market.bars import SYMBOL_PATTERNS, Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.data_source import again
from crypto_platform.market.dataset import check_feed, format_time
from crypto_platform.market.day_ranges import ONE_DAY

SUFFIX = ".jsonl.zst"
_SYMBOL = re.compile("|".join(SYMBOL_PATTERNS.values()))


class LakeDayMissingError(LookupError):
    """The lake has no file of that day."""


class LakeDayDamagedError(RuntimeError):
    """A file of the lake is cut short, altered or not the lake's."""


class LakeUnavailableError(OSError):
    """The object store at LAKE_URL refused or did not answer; what is in it is as it was."""


@dataclass(frozen=True)
class Section:
    """One symbol's bars of one day: wire lines without newline, ascending in time; `observed_at` is UTC."""

    observed_at: datetime
    lines: list[bytes]


@dataclass(frozen=True)
class LakeDay:
    """One file of the lake; `sections` by symbol, sorted; `run_id` of the run that wrote it last."""

    feed: str
    timeframe: str
    day: date
    sections: dict[str, Section]
    run_id: str

    @property
    def bars(self) -> int:
        return sum(len(section.lines) for section in self.sections.values())


@dataclass(frozen=True)
class UniverseDay:
    """The members of a feed's universe on a UTC day, as `source` named them at `observed_at` (UTC)."""

    feed: str
    day: date
    symbols: tuple[str, ...]
    source: str
    observed_at: datetime


class Lake:
    """A lake in a local folder or at an fsspec URL (s3://…, gs://…).

    A day is replaced as a whole: readers see the old file or the new one. Of two writers of one day at once
    the later would put back the sections it read before the earlier wrote: a feed has one writer at a time.

    Every method raises LakeUnavailableError where an object store, after the retries of its client, does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def path(self, feed: str, timeframe: str, day: date) -> str:
        """Where the day's file is.

        Raises:
            ValueError: `feed` or `timeframe` is not of the form that may enter a path.
        """
        return f"{self._folder(feed, timeframe)}/{day.isoformat()}{SUFFIX}"

    def days(self, feed: str, timeframe: str) -> list[date]:
        """The days that have a file, ascending."""
        names = self._names(self._folder(feed, timeframe))
        found = (re.fullmatch(r"(\d{4}-\d\d-\d\d)" + re.escape(SUFFIX), name) for name in names)
        return sorted(date.fromisoformat(match[1]) for match in found if match)

    def read_day(self, feed: str, timeframe: str, day: date) -> LakeDay:
        """The day's lines, verified.

        Raises:
            LakeDayMissingError: there is no file of that day.
            LakeDayDamagedError: the file is cut, altered or another day's.
        """
        path = self.path(feed, timeframe, day)
        try:
            with self._reaching(path):
                packed = self._fs.cat_file(path)
        except FileNotFoundError:
            raise _missing(path, feed, day) from None
        try:
            return _decode(packed, feed, timeframe, day)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as exc:
            raise LakeDayDamagedError(
                f"{path} is damaged ({str(exc)[:100]}): remove it and run `{again(feed, day, day + ONE_DAY)}`"
            ) from exc

    def counts(self, feed: str, timeframe: str, day: date) -> dict[str, int]:
        """How many bars the day's header counts for each symbol; the lines are neither read nor verified.

        Raises:
            LakeDayMissingError: there is no file of that day.
        """
        return {symbol: entry["bars"] for symbol, entry in self._symbols(feed, timeframe, day).items()}

    def observed(self, feed: str, timeframe: str, day: date) -> dict[str, tuple[int, datetime]]:
        """`counts`, and when (UTC) Alpaca answered so.

        Raises:
            LakeDayMissingError: there is no file of that day.
        """
        return {
            symbol: (entry["bars"], datetime.fromisoformat(entry["observed_at"]))
            for symbol, entry in self._symbols(feed, timeframe, day).items()
        }

    def _symbols(self, feed: str, timeframe: str, day: date) -> dict[str, dict[str, Any]]:
        path = self.path(feed, timeframe, day)
        try:
            with (
                self._reaching(path),
                self._fs.open(path) as packed,
                pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd") as stream,
            ):
                header = orjson.loads(next(io.TextIOWrapper(stream, "utf-8")))
        except FileNotFoundError:
            raise _missing(path, feed, day) from None
        found: dict[str, dict[str, Any]] = header["symbols"]
        return found

    def write_day(self, feed: str, timeframe: str, day: date, sections: dict[str, Section], run_id: str) -> LakeDay:
        """Put the day's sections in place, all or none; symbols not among them keep what the file has.

        Raises:
            ValueError: a name is not of the form that may enter a path, or a line is not one line.
            LakeDayDamagedError: the file to keep other symbols from is damaged.
        """
        path = self.path(feed, timeframe, day)
        for symbol in sections:
            if not _SYMBOL.fullmatch(symbol):
                raise ValueError(f"{symbol!r} is not a symbol")
        try:
            kept = self.read_day(feed, timeframe, day).sections
        except LakeDayMissingError:
            kept = {}
        merged = LakeDay(feed, timeframe, day, dict(sorted({**kept, **sections}.items())), run_id)
        self._put(path, _encode(merged))
        return merged

    def universe_day(self, feed: str, day: date) -> UniverseDay:
        """The day's members as they were recorded.

        Raises:
            LakeDayMissingError: nothing is recorded of that day.
            LakeDayDamagedError: the file is cut or altered.
        """
        path = self._universe_path(feed, day)
        try:
            with self._reaching(path):
                packed = self._fs.cat_file(path)
        except FileNotFoundError:
            raise _missing(path, feed, day) from None
        try:
            found = orjson.loads(packed)
            if found.pop("sha256") != _digest(found, b""):
                raise ValueError("its checksum does not match")
            observed_at = datetime.fromisoformat(found["observed_at"])
            return UniverseDay(feed, day, tuple(found["symbols"]), found["source"], observed_at)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise LakeDayDamagedError(
                f"{path} is damaged ({str(exc)[:100]}): bring it back from a backup; without it the day's members are "
                "taken from the universe as it is now"
            ) from exc

    def universe_days(self, feed: str) -> list[date]:
        """The days whose members are recorded, ascending."""
        names = self._names(self._universe_path(feed, date.min).rpartition("/")[0])
        return sorted(date.fromisoformat(name[:10]) for name in names if re.fullmatch(r"\d{4}-\d\d-\d\d\.json", name))

    def record_universe_day(self, found: UniverseDay) -> None:
        """Record a day's members; a record of that day is replaced as a whole."""
        content = {
            "feed": found.feed,
            "day": found.day.isoformat(),
            "source": found.source,
            "observed_at": format_time(found.observed_at),
            "symbols": found.symbols,
        }
        packed = orjson.dumps({**content, "sha256": _digest(content, b"")})
        self._put(self._universe_path(found.feed, found.day), packed)

    def _universe_path(self, feed: str, day: date) -> str:
        return f"{self._root}/{check_feed(feed)}/universe/{day.isoformat()}.json"

    def _folder(self, feed: str, timeframe: str) -> str:
        name = timeframe if timeframe == CORPORATE_ACTIONS.name else Timeframe.parse(timeframe).name
        return f"{self._root}/{check_feed(feed)}/{name}"

    def _names(self, folder: str) -> list[str]:
        """The names of the files in a folder, without it; none where it is not there."""
        with self._reaching(folder):
            if not self._fs.exists(folder):
                return []
            return [name.rpartition("/")[2] for name in self._fs.ls(folder, detail=False, refresh=True)]

    @contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        """Say what to do where an object store fails: its clients raise what they like, and name no setting."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if isinstance(self._fs, LocalFileSystem):
                raise
            said = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(". ")
            # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: RequestTimeTooSkewed, from 15 minutes
            # on. The answer to a HEAD has no code.
            remedy = "see that it answers and has room"
            if isinstance(error, PermissionError):
                remedy = "see the rights of its key, and set this machine's clock: `timedatectl set-ntp true`"
            raise LakeUnavailableError(
                f"LAKE_URL {self.url} fails for {path} ({said}): nothing there was changed; {remedy}, and run it again"
            ) from error

    def _put(self, path: str, packed: bytes) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            # One put is one object: object stores show it whole or not at all.
            with self._reaching(path):
                self._fs.pipe_file(path, packed)
            return
        folder, _, name = path.rpartition("/")
        unfinished = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        self._fs.makedirs(folder, exist_ok=True)
        try:
            self._fs.pipe_file(unfinished, packed)
            self._fs.mv(unfinished, path)
        finally:
            if self._fs.exists(unfinished):
                self._fs.rm_file(unfinished)


def _missing(path: str, feed: str, day: date) -> LakeDayMissingError:
    return LakeDayMissingError(f"the lake has no {path}: run `{again(feed, day, day + ONE_DAY)}`")


def _digest(header: dict[str, Any], body: bytes) -> str:
    return hashlib.sha256(orjson.dumps(header) + b"\n" + body).hexdigest()


def _encode(day: LakeDay) -> bytes:
    body = b"".join(line + b"\n" for section in day.sections.values() for line in section.lines)
    if body.count(b"\n") != day.bars:
        raise ValueError(f"a line of {day.feed} {day.day} holds a line break")
    header = {
        "feed": day.feed,
        "timeframe": day.timeframe,
        "day": day.day.isoformat(),
        "run_id": day.run_id,
        "symbols": {
            symbol: {"bars": len(section.lines), "observed_at": format_time(section.observed_at)}
            for symbol, section in day.sections.items()
        },
    }
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(orjson.dumps({**header, "sha256": _digest(header, body)}) + b"\n")
        stream.write(body)
    return sink.getvalue().to_pybytes()


def _decode(packed: bytes, feed: str, timeframe: str, day: date) -> LakeDay:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        first, _, body = stream.read().partition(b"\n")
    header = orjson.loads(first)
    digest = header.pop("sha256")
    if digest != _digest(header, body):
        raise ValueError("its checksum does not match")
    if (header["feed"], header["timeframe"], header["day"]) != (feed, timeframe, day.isoformat()):
        raise ValueError(f"it holds {header['feed']} {header['timeframe']} {header['day']}")
    lines = body.split(b"\n")[:-1]
    counts = [entry["bars"] for entry in header["symbols"].values()]
    if sum(counts) != len(lines):
        raise ValueError(f"its header counts {sum(counts)} bars, it holds {len(lines)}")
    sections: dict[str, Section] = {}
    first_line = 0
    for symbol, entry in header["symbols"].items():
        last_line = first_line + entry["bars"]
        sections[symbol] = Section(datetime.fromisoformat(entry["observed_at"]), lines[first_line:last_line])
        first_line = last_line
    return LakeDay(feed, timeframe, day, sections, header["run_id"])
