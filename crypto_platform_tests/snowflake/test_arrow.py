"""The connector's deadlock: threads that read their process's first Arrow results at once.

Each entry point of ours that uses the connector in threads is begun in a process of its own, up to where its threads
would begin; then such threads do begin, with the interpreter switching between them as often as it can.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_platform.settings import PROJECT_ROOT, Settings

PROCESSES, SECONDS = 4, 60
RACE = """
import base64, sys, threading, zlib
from snowflake.connector.arrow_context import ArrowConverterContext
from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator
from crypto_platform.snowflake.arrow import _ONE_ROW

def race(begin=lambda: None):
    data, gate = zlib.decompress(base64.b64decode(_ONE_ROW)), threading.Barrier(4)
    def read():
        gate.wait()
        begin()
        list(PyArrowRowIterator(None, data, ArrowConverterContext(), False, False, False, True))
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("all read")
"""

DBT = """
import types
sys.modules["dbt.cli.main"] = types.SimpleNamespace(cli=race)
from crypto_platform.transform.command import main
main()
"""
# As the loader's threads do, one a feed, and those of the code server.
LOADER = """
import snowflake.connector
from unittest.mock import MagicMock
from crypto_platform.settings import Settings
from crypto_platform.snowflake.connection import connect
snowflake.connector.connect = MagicMock()
def begin():
    with connect(Settings()): pass
race(begin)
"""
SUPERSET = """
import runpy
runpy.run_path("dashboards/superset_config.py")
race()
"""


def hung(python: Path, program: str) -> int:
    """How many of several processes of the program do not end."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "SUPERSET_SECRET_KEY": "k",
        "SUPERSET_HOME": "/nowhere",
    }
    environment |= {"SUPERSET_WAREHOUSE": "{}"}
    processes = [
        subprocess.Popen([python, "-c", RACE + program], cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    count = 0
    try:
        for process in processes:
            try:
                said, _ = process.communicate(timeout=SECONDS if count == 0 else 1)
                assert said == b"all read\n"
            except subprocess.TimeoutExpired:
                count += 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return count


@pytest.mark.slow
@pytest.mark.parametrize("program", [DBT, LOADER], ids=["dbt", "loader"])
def test_threads_that_read_their_first_results_at_once_come_to_an_end(program: str) -> None:
    assert hung(Path(sys.executable), program) == 0


@pytest.mark.slow
def test_those_of_superset_do_too() -> None:
    python = Settings().superset_venv / "bin" / "python"
    if not python.exists():
        pytest.skip("Superset is not installed: `make test` and `make dashboard` do it")
    assert hung(python, SUPERSET) == 0
