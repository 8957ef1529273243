import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_platform.settings import Settings
from crypto_platform.transform.paths import PROJECT_DIR
from crypto_platform.transform.project import (
    MANIFEST,
    RUNS_KEPT,
    StaleManifestError,
    known_nodes,
    new_run_folder,
    run_folder,
)

PARSED = "partial_parse.msgpack"


def finished(settings: Settings, run_id: str, age: int, parsed: str | None = None) -> Path:
    folder = run_folder(settings, run_id)
    folder.mkdir(parents=True)
    if parsed:
        (folder / PARSED).write_text(parsed)
    os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    return folder


def test_a_run_begins_with_what_the_newest_that_parsed_knew(fresh_settings: Settings) -> None:
    finished(fresh_settings, "newest", age=1)
    finished(fresh_settings, "new", age=2, parsed="new")
    finished(fresh_settings, "old", age=3, parsed="old")
    folder = new_run_folder(fresh_settings, "this")
    assert folder == run_folder(fresh_settings, "this")
    assert (folder / PARSED).read_text() == "new"


def test_the_first_run_begins_with_nothing(fresh_settings: Settings) -> None:
    assert list(new_run_folder(fresh_settings, "this").iterdir()) == []


def test_the_last_runs_are_kept(fresh_settings: Settings) -> None:
    for age in range(RUNS_KEPT + 5):
        finished(fresh_settings, f"run{age}", age)
    folder = new_run_folder(fresh_settings, "this")
    assert {path.name for path in folder.parent.iterdir()} == {"this", *(f"run{age}" for age in range(RUNS_KEPT - 1))}


@pytest.mark.slow
def test_what_a_run_parsed_is_of_use_to_the_next(fresh_settings: Settings) -> None:
    """Both at a port that is not the one of `make setup`; dbt says when it has to parse everything."""
    command = [str(Path(sys.executable).parent / "crypto-platform-dbt"), "parse", "--profiles-dir", str(PROJECT_DIR)]
    environment = {**os.environ, "SANDBOX_SNOWFLAKE_PORT": "1"}
    logs = []
    for run_id in ("first", "second"):
        folder = new_run_folder(fresh_settings, run_id)
        options = ["--target-path", str(folder), "--log-path", str(folder), "--log-level-file", "debug"]
        subprocess.run([*command, *options], cwd=PROJECT_DIR, env=environment, check=True, capture_output=True)
        logs.append((folder / "dbt.log").read_text())
    assert "Unable to do partial parsing" in logs[0]
    assert "Unable to do partial parsing" not in logs[1]


def test_a_node_that_the_manifest_lacks_is_told_with_what_to_do() -> None:
    told = rf"model\.new, which is not in {re.escape(str(MANIFEST))}.*make setup"
    with pytest.raises(StaleManifestError, match=told), known_nodes():
        raise KeyError("model.new")
    with pytest.raises(KeyError), known_nodes():
        raise KeyError("run_id")
