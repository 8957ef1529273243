"""`manifest.json`: what an export's folder holds, each file with its bars and hash."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from crypto_platform.export.folder import sync
from crypto_platform.export.request import ExportError

NAME = "manifest.json"
LAYOUT = 1
Key = tuple[str, int]
"""A symbol and a period, as `MarketData.bar_partitions` names them."""


@dataclass(frozen=True)
class File:
    """A file of bars: `version` is the partition's when it was read, `path` from the folder on."""

    path: str
    symbol: str
    period: int
    bars: int
    version: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Attachment:
    """A file that is not of bars, such as factors."""

    path: str
    bytes: int
    sha256: str


@dataclass
class Manifest:
    """`ranges` has of each symbol from when to when it was exported, [start, end) in ISO 8601."""

    format: str
    parameters: dict[str, Any]
    ranges: dict[str, list[str]] = field(default_factory=dict)
    files: dict[Key, File] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """That of a folder; None of one without.

        Raises:
            ExportError: it is not one that this release writes.
        """
        try:
            found = json.loads((folder / NAME).read_text())
            if found["layout"] != LAYOUT:
                raise ExportError(f"{folder / NAME} has the layout {found['layout']}: export into a new folder")
            files = [File(**one) for one in found["files"]]
            attachments = [Attachment(**one) for one in found["attachments"]]
            return cls(
                format=found["format"],
                parameters=found["parameters"],
                ranges=found["ranges"],
                files={(one.symbol, one.period): one for one in files},
                attachments={one.path: one for one in attachments},
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(
                f"{folder / NAME} cannot be read ({error!r}): remove the folder, or export into another one"
            ) from None

    def write(self, folder: Path) -> None:
        """Put it into the folder, in place of the one that is there."""
        files = sorted(self.files.values(), key=lambda one: (one.symbol, one.period))
        content = {
            "layout": LAYOUT,
            "format": self.format,
            "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "parameters": self.parameters,
            "bars": sum(one.bars for one in files),
            "ranges": dict(sorted(self.ranges.items())),
            "files": [asdict(one) for one in files],
            "attachments": [asdict(self.attachments[path]) for path in sorted(self.attachments)],
        }
        part = folder / f".{NAME}"
        part.write_text(json.dumps(content, indent=1) + "\n")
        sync(part)
        part.rename(folder / NAME)

    def check_same(self, format: str, parameters: dict[str, Any], folder: Path) -> None:
        """
        Raises:
            ExportError: the folder holds another kind of bars.
        """
        held = {"format": self.format, **self.parameters}
        asked = {"format": format, **parameters}
        if differing := [name for name in {**held, **asked} if held.get(name) != asked.get(name)]:
            said = "; ".join(f"{name} is {held.get(name)}, not {asked.get(name)}" for name in differing)
            raise ExportError(f"{folder} holds another export: {said}. Choose another folder, or remove this one")


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
