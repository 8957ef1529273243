"""The marts of what Snowflake costs: a dbt project beside the platform's own, built on demand."""

from crypto_platform.settings import Settings
from crypto_platform.transform.build import build as run_build
from crypto_platform.transform.paths import PROJECT_DIR

COSTS_DIR = PROJECT_DIR / "costs"
# A year of a busy account's statements, the first time.
LONGEST_SECONDS = 3_600

# Values: days.
SUMMARY = """
SELECT usage_date AS "day", component AS "component", feed AS "feed", sum(queries) AS "queries",
    round(sum(seconds), 1) AS "seconds", round(sum(credits), 4) AS "credits"
FROM MARTS.FCT_QUERY_COSTS
WHERE usage_date > (SELECT max(usage_date) FROM MARTS.FCT_QUERY_COSTS) - %s
GROUP BY ALL
ORDER BY 1 DESC, 6 DESC, 2, 3
"""


def build(settings: Settings) -> None:
    """Build MARTS.FCT_QUERY_COSTS, and test it, with dbt's login.

    Raises:
        BuildError: dbt failed, or took too long.
    """
    folder = str(settings.crypto_platform_home / "dbt-costs")
    run_build(
        settings,
        "the costs",
        COSTS_DIR,
        *("--exclude-resource-type", "unit_test", "--target-path", folder, "--log-path", folder),
        longest_seconds=LONGEST_SECONDS,
        remediation="\nIts role must see ACCOUNT_USAGE: run `crypto-platform snowflake setup --costs` once more",
    )
