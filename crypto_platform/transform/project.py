"""Where the dbt project is, and the manifest made of it ahead of time (`make setup`)."""

import shutil
import sys
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

import orjson
from dagster_dbt import DbtCliResource
from dagster_dbt.core.dbt_cli_invocation import PARTIAL_PARSE_FILE_NAME
from packaging.version import Version

from crypto_platform.settings import PROJECT_ROOT, Settings

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
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
    for parsed in (path / PARTIAL_PARSE_FILE_NAME for path in reversed(earlier)):
        if parsed.exists():
            shutil.copy(parsed, folder)
            break
    for old in earlier[: 1 - RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


class DbtCli(DbtCliResource):
    """dagster-dbt's resource without the two things it does before every invocation: a `dbt --version` process
    and a second dbt adapter in this process, which only row counts and column queries after a model would use.
    Together they cost as much as dbt itself.
    """

    @property
    def _cli_version(self) -> Version:
        return Version(installed("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: object) -> None:  # type: ignore[override]
        return None


def cli() -> DbtCli:
    """The dbt command line of this environment, whatever PATH says."""
    return DbtCli(
        project_dir=str(PROJECT_DIR),
        profiles_dir=str(PROJECT_DIR),
        dbt_executable=str(Path(sys.executable).parent / "crypto-platform-dbt"),
    )
