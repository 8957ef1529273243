"""dbt's runs, and the manifest made of the project ahead of time (`make setup`)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from crypto_platform.settings import Settings
from crypto_platform.transform.paths import PARTIAL_PARSE, PROJECT_DIR

MANIFEST = PROJECT_DIR / "target" / "manifest.json"
RUNS_KEPT = 20


@cache
def manifest() -> dict[str, object]:
    """The parsed manifest.

    Raises:
        FileNotFoundError: it was not made yet; says how to.
    """
    if not MANIFEST.exists():
        raise FileNotFoundError(f"{MANIFEST} is missing: run `make setup`, which prepares it with `dbt parse`")
    content: dict[str, object] = orjson.loads(MANIFEST.read_bytes())
    return content


class StaleManifestError(RuntimeError):
    """dbt ran a node that the code location does not know."""


@contextmanager
def known_nodes() -> Iterator[None]:
    """What dagster-dbt says of a node that the manifest does not have, a bare KeyError, in words.

    Raises:
        StaleManifestError: the project has a node that was not there when the manifest was made.
    """
    try:
        yield
    except KeyError as error:
        node = str(error.args[0])
        if node.split(".")[0] not in ("model", "test", "unit_test", "seed", "snapshot", "source", "exposure"):
            raise
        raise StaleManifestError(
            f"dbt ran {node}, which is not in {MANIFEST}: the project was changed since. Run `make setup`, and reload "
            "the code location in the UI"
        ) from error


def owners() -> list[str]:
    """Who answers for the data: the e-mail addresses in `models/groups.yml`."""
    groups: Any = manifest()["groups"]
    return sorted({group["owner"]["email"] for group in groups.values()})


def column_descriptions(model: str) -> dict[str, str]:
    """What the model's YAML says of its columns, by name; empty without such a model."""
    nodes: Any = manifest()["nodes"]
    columns = nodes.get(f"model.crypto_platform.{model}", {}).get("columns", {})
    return {name: column["description"] for name, column in columns.items()}


def run_folder(settings: Settings, run_id: str) -> Path:
    """Where dbt keeps a run's compiled SQL, results and log (`dbt.log`)."""
    return settings.crypto_platform_home / "dbt" / run_id


def new_run_folder(settings: Settings, run_id: str) -> Path:
    """Make a run's folder, with what the run before it knew of the project; older than the last runs' are removed.

    dbt parses all of the project anew when what it knows was made with another address or login, as the manifest of
    `make setup` is wherever these are not the default: two seconds of every run.
    """
    folder = run_folder(settings, run_id)
    earlier = sorted(folder.parent.glob("*"), key=lambda path: path.stat().st_mtime)
    folder.mkdir(parents=True, exist_ok=True)
    for parsed in (path / PARTIAL_PARSE for path in reversed(earlier)):
        if parsed.exists():
            shutil.copy(parsed, folder)
            break
    for old in earlier[: 1 - RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder
