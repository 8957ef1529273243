"""Exports as they lie on disk."""

import json
from pathlib import Path
from typing import Any

from crypto_platform.export.manifest import digest


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def check_whole(folder: Path) -> dict[str, Any]:
    """The manifest, whose files are all there as it says, and no others."""
    found = manifest(folder)
    listed = {one["path"]: one for one in (*found["files"], *found["attachments"])}
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {"manifest.json"}
    assert there == set(listed)
    for path, one in listed.items():
        assert digest(folder / path) == one["sha256"], path
        assert (folder / path).stat().st_size == one["bytes"]
    assert found["bars"] == sum(one["bars"] for one in found["files"])
    assert sorted(file.name for file in folder.parent.iterdir() if file.name.startswith(".")) == []
    return found


def inodes(folder: Path) -> dict[str, int]:
    """Which file each path is: a link stays the same one."""
    return {str(file.relative_to(folder)): file.stat().st_ino for file in folder.rglob("*") if file.is_file()}
