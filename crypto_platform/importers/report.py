"""What became of each row of each file."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crypto_platform.importers.layout import Fact
from crypto_platform.importers.source import Source

Lines = Sequence[int] | NDArray[np.int64]
# Of each reason so many rows are named; all are counted.
SHOWN = 3


@dataclass
class FileReport:
    """One file: what it was recognised as and why, and its rows by what became of them.

    `rows` is the sum of all others. `left_out` and `rejected` by reason; a left-out row is no fault of the file's.
    `refused`: why nothing of it was imported.
    """

    source: Source | Path
    unit: str = "line"
    format: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    written: int = 0
    replaced: int = 0
    unchanged: int = 0
    duplicate: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    refused: str = ""
    # Takes every row that is rejected or left out: its line, the reason, the detail.
    log: Callable[[int, str, str], None] | None = field(default=None, repr=False)

    @property
    def is_good(self) -> bool:
        return not self.refused and not self.rejected

    def reject(self, reason: str, lines: Lines, detail: Callable[[int], str] = lambda place: "") -> None:
        """Count rows as rejected; `detail` of the n-th of them follows its line."""
        self._count(self.rejected, reason, lines, detail)

    def leave_out(self, reason: str, lines: Lines, detail: Callable[[int], str] = lambda place: "") -> None:
        """Count rows that are left out as documented."""
        self._count(self.left_out, reason, lines, detail)

    def refuse(self, why: str) -> None:
        """Nothing of the file is imported, whatever was read of it."""
        self.refused, self.rows = why, 0
        self.left_out.clear()
        self.rejected.clear()
        self.examples.clear()

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _count(self, kind: Counter[str], reason: str, lines: Lines, detail: Callable[[int], str]) -> None:
        if len(lines) == 0:
            return
        kind[reason] += len(lines)
        examples = self.examples.setdefault(reason, [])
        for place in range(len(lines) if self.log else min(len(lines), SHOWN - len(examples))):
            told = detail(place)
            if len(examples) < SHOWN:
                examples.append(f"{self.unit} {lines[place]:,} {told}".rstrip())
            if self.log:
                self.log(int(lines[place]), reason, told)


@dataclass(frozen=True)
class WrittenFile:
    """A file of the folder: its bars, the first and last start (ISO 8601), and how many are new and replaced."""

    path: Path
    symbol: str
    timeframe: str
    bars: int
    first: str
    last: str
    new: int
    replaced: int

    @property
    def changed(self) -> bool:
        return bool(self.new or self.replaced)


@dataclass(frozen=True)
class Report:
    """All files that were given, and those of the folder that hold their bars."""

    files: list[FileReport]
    written: list[WrittenFile]

    @property
    def is_good(self) -> bool:
        return all(file.is_good for file in self.files)
