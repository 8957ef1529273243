"""Where the dbt project is, and the manifest made of it ahead of time (`make setup`)."""

import shutil
import sys
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

import orjson
from dagster_dbt import DbtCliResource
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
    """Where dbt keeps a run's compiled SQL, results and log (`dbt.log`); older than the last runs' are removed."""
    folder = settings.crypto_platform_home / "dbt"
    for old in sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime)[:-RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder / run_id


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
        dbt_executable=str(Path(sys.executable).parent / "dbt"),
    )
