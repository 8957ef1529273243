"""Runs of a code server as forks of a process that has imported what they need (multiprocessing's fork server).

Dagster 1.13 gives each run a new interpreter ("spawn"), which imports Dagster, dbt and this package for seconds before
the run's first event. On Linux alone: macOS's own libraries do not survive a fork.
"""

import multiprocessing
import sys

from crypto_platform.dagster_instance.internals import code_server_class


def fork_runs() -> None:
    """Have the code server of this process, where it is one, start its runs so; to be called when the code is loaded.

    The fork server is started with the first run, and imports the modules of this package that are imported by now.
    """
    if sys.platform != "linux" or (code_server := code_server_class()) is None:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in sys.modules if name.startswith("crypto_platform.")])
    # A server that is loading the code has chosen "spawn" for itself already.
    code_server._mp_ctx = property(lambda _: context, lambda *_: None)
