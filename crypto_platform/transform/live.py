"""The live views, made without a run of Dagster: they are there from the first bar on."""

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings
from crypto_platform.transform.build import build as run_build
from crypto_platform.transform.paths import PROJECT_DIR
from crypto_platform.transform.project import new_run_folder

# Seconds; a dozen views take some ten.
LONGEST_SECONDS = 600
VIEWS = ("live_prices", "live_indicators_1h")


def ensure_live_views(settings: Settings) -> bool:
    """Build the views and what they look through, unless they are there; whether that had to be done.

    Raises:
        BuildError: dbt failed; the message is its own.
    """
    with connect(settings, "sensors") as connection:
        found = rows(
            connection.cursor(),
            "SELECT table_name FROM information_schema.views WHERE table_schema = 'MARTS' AND table_name IN (%s, %s)",
            [view.upper() for view in VIEWS],
        )
    if len(found) == len(VIEWS):
        return False
    build(settings, *(f"+{view}" for view in VIEWS))
    return True


def build(settings: Settings, *selected: str) -> None:
    """Have dbt build the selected models, untested.

    Raises:
        BuildError: dbt failed; the message is its own.
    """
    target = str(new_run_folder(settings, "live-views"))
    run_build(
        settings,
        " ".join(selected),
        PROJECT_DIR,
        *("--select", *selected, "--exclude-resource-type", "test", "unit_test", "--target-path", target),
        longest_seconds=LONGEST_SECONDS,
    )
