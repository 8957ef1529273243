"""What the stream service keeps on disk to go on from: small files, each replaced as a whole."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson


def read(path: Path) -> dict[str, Any]:
    """The content; empty where there is none, or none that can be read."""
    with suppress(FileNotFoundError, ValueError):
        if isinstance(found := orjson.loads(path.read_bytes()), dict):
            return found
    return {}


def replace(path: Path, content: dict[str, Any]) -> None:
    """Write the content; a process that is killed meanwhile leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(orjson.dumps(content))
    unfinished.replace(path)
