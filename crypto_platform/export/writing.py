"""The files of what has changed, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from crypto_platform.export.folder import sync
from crypto_platform.export.formats import Partition, Writer
from crypto_platform.export.manifest import File, Key, digest
from crypto_platform.export.plan import Plan
from crypto_platform.failpoints import reach
from crypto_platform.research import MarketData

Progress = Callable[[int, int, int], None]
"""Told of the files that are written, of how many, and of their bars so far."""
Opening = Callable[[Partition, Path], Writer]
Naming = Callable[[Partition, datetime, datetime], PurePosixPath]
"""A file's path by the starts of its first and last bar."""


def write(
    plan: Plan,
    market: MarketData,
    columns: Sequence[str],
    opening: Opening,
    naming: Naming,
    folder: Path,
    progress: Progress,
) -> dict[Key, File]:
    """Write what has changed into files of `folder`, with these columns.

    Raises:
        ExportError: the marts were built meanwhile.
    """
    written: dict[Key, File] = {}
    bars = 0
    progress(0, len(plan.changed), 0)
    for key, file in _files(plan, market, columns, opening, naming, folder):
        written[key] = file
        bars += file.bars
        progress(len(written), len(plan.changed), bars)
        reach("during_export")
    plan.check({key: file.bars for key, file in written.items()})
    return written


@dataclass
class _Open:
    """A file that is being written."""

    key: Key
    writer: Writer
    part: Path
    first: datetime
    last: datetime
    bars: int = 0


def _files(
    plan: Plan, market: MarketData, columns: Sequence[str], opening: Opening, naming: Naming, folder: Path
) -> Iterator[tuple[Key, File]]:
    def close(done: _Open) -> tuple[Key, File]:
        done.writer.close()
        sync(done.part)
        path = naming(plan.partition(done.key), done.first, done.last)
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        done.part.rename(file)
        _, version = plan.there[done.key]
        return done.key, File(str(path), *done.key, done.bars, version, file.stat().st_size, digest(file))

    current: _Open | None = None
    try:
        for key, bars in plan.bars(market, columns):
            if current is not None and current.key != key:
                done, current = current, None
                yield close(done)
            if current is None:
                part, first = folder / ".part", bars["bar_start"][0].as_py()
                current = _Open(key, opening(plan.partition(key), part), part, first, first)
            current.writer.write(bars.select(list(columns)))
            current.bars += len(bars)
            current.last = bars["bar_start"][-1].as_py()
        if current is not None:
            done, current = current, None
            yield close(done)
    finally:
        if current is not None:
            # What went wrong is on its way already; here the file is let go.
            with suppress(Exception):
                current.writer.close()
