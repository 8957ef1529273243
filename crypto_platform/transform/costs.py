"""The marts of what Snowflake costs: a dbt project beside the platform's own, built on demand."""

import os
import subprocess

from crypto_platform.settings import Settings
from crypto_platform.transform.paths import PROJECT_DIR, script

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


class CostsError(RuntimeError):
    """The marts were not built; the message is dbt's."""


def build(settings: Settings) -> None:
    """Build MARTS.FCT_QUERY_COSTS, and test it, with dbt's login.

    Raises:
        CostsError: dbt failed, or took too long.
    """
    folder = settings.crypto_platform_home / "dbt-costs"
    command = [script(), "--quiet", "build", "--exclude-resource-type", "unit_test"]
    command += ["--project-dir", str(COSTS_DIR), "--profiles-dir", str(PROJECT_DIR)]
    command += ["--target-path", str(folder), "--log-path", str(folder)]
    environment = {**os.environ, **settings.environment()}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired as late:
        raise CostsError(f"dbt did not build the costs within {LONGEST_SECONDS} seconds") from late
    if done.returncode:
        raise CostsError(
            f"dbt could not build the costs:\n{done.stdout[-3000:]}{done.stderr[-1000:]}\n"
            "Its role must see ACCOUNT_USAGE: run `crypto-platform snowflake setup --costs` once more"
        )
