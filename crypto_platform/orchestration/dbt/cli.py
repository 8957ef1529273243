"""dbt as a resource of Dagster."""

from importlib.metadata import version as installed

from dagster_dbt import DbtCliResource
from packaging.version import Version

from crypto_platform.transform.paths import PROJECT_DIR, script


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
    """dbt as a resource of Dagster."""
    return DbtCli(
        project_dir=str(PROJECT_DIR),
        profiles_dir=str(PROJECT_DIR),
        dbt_executable=script(),
    )
