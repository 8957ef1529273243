"""All of dbt's models, over all that the ledgers hold, outside of Dagster's runs."""

from crypto_platform.settings import Settings
from crypto_platform.transform.build import build
from crypto_platform.transform.paths import PROJECT_DIR

LONGEST_SECONDS = 4 * 3_600


def build_all(settings: Settings) -> None:
    """Build and test every model, with dbt's login; of incremental ones what was loaded since their last build.

    Raises:
        BuildError: dbt failed, or took too long.
    """
    folder = str(settings.crypto_platform_home / "dbt-rebuild")
    build(
        settings,
        "the models",
        PROJECT_DIR,
        *("--exclude-resource-type", "unit_test", "--target-path", folder, "--log-path", folder),
        longest_seconds=LONGEST_SECONDS,
    )
