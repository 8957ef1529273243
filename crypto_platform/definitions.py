"""The code location: everything under `defs/`."""

import warnings
from pathlib import Path

import dagster as dg

from crypto_platform.dagster_instance.forked_runs import fork_runs
from crypto_platform.dagster_instance.pool_wait import sleep_until_the_next_look


@dg.definitions
def defs() -> dg.Definitions:
    sleep_until_the_next_look()
    # Backfill policies are "beta", loading components "preview": every load would say so a dozen times.
    for category in (dg.BetaWarning, dg.PreviewWarning):
        warnings.simplefilter("ignore", category)
    # The folder alone: the tree's root would import every installed Dagster library for its component
    # types (seconds of imports, dagster-snowflake's above all), and each run loads this module again.
    folder = Path(__file__).parent / "defs"
    definitions = dg.ComponentTree.for_project(folder).build_defs(folder)
    fork_runs()
    return definitions
