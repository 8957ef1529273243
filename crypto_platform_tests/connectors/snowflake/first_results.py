"""A process of ours as it begins, and then threads that all read its first result at once.

Prints the entry points, each a process of its own, whose threads wait for ever. What an entry point would go on to do,
its threads do: read results. The rest of dbt and Superset is left out.
"""

import builtins
import faulthandler
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow.ipc  # noqa: F401
import snowflake.connector
from snowflake.connector import nanoarrow_arrow_iterator  # noqa: F401

from crypto_platform.connectors.snowflake.threads import read, results
from crypto_platform.settings import PROJECT_ROOT, Settings

THREADS = 4
HANGS_AFTER_SECONDS = 15
RESULTS = results()
together = threading.Barrier(THREADS)


def read_together() -> None:
    make_sure_of_a_deadlock()
    in_threads(read_at_once)


def make_sure_of_a_deadlock() -> None:
    """Have every import take a little: one that the connector does under its lock, until another thread comes to it."""
    plain = builtins.__import__

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.01)
        return plain(*arguments, **options)

    # By a thread that needs no interpreter: in the deadlock nothing else runs.
    faulthandler.dump_traceback_later(HANGS_AFTER_SECONDS, exit=True)
    builtins.__import__ = slow


def read_at_once() -> None:
    for result in RESULTS:
        together.wait()
        read(result)


def in_threads(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def dbt() -> None:
    sys.modules["dbt.cli.main"] = SimpleNamespace(cli=read_together)  # type: ignore[assignment]
    from crypto_platform.transform.command import main

    main()


def superset() -> None:
    default = ModuleType("superset.config")
    vars(default).update(TALISMAN_CONFIG={"content_security_policy": {}}, THEME_DEFAULT={"token": {}})
    sys.modules["superset"] = SimpleNamespace(config=default)  # type: ignore[assignment]
    sys.modules["snowflake.sqlalchemy"] = ModuleType("snowflake.sqlalchemy")
    os.environ |= {"SUPERSET_SECRET_KEY": "any", "SUPERSET_WAREHOUSE": "{}"}
    runpy.run_path(str(PROJECT_ROOT / "dashboards" / "superset_config.py"))
    read_together()


def connections() -> None:
    """The loader, sensors and checks: each thread with a connection of its own."""
    from crypto_platform.connectors.snowflake.connection import connect

    class Connection:
        def cursor(self) -> "Connection":
            return self

        def execute(self, *_: object, **__: object) -> None:
            """Takes the ROLLBACK."""

        def close(self, **_: object) -> None:
            """Was never open."""

    def opened(**_: object) -> Connection:
        read_at_once()
        return Connection()

    def use() -> None:
        with connect(Settings()):
            pass

    snowflake.connector.connect = opened
    make_sure_of_a_deadlock()
    in_threads(use)


def main() -> None:
    for entry in (dbt, superset, connections):
        child = os.fork()
        if not child:
            entry()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(entry.__name__)


if __name__ == "__main__":
    main()
