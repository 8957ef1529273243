"""The first results of a process, read by several threads at once."""

import subprocess
import sys

import pytest

from crypto_platform.connectors.snowflake.threads import read, ready_for_threads, results
from crypto_platform_tests.connectors.snowflake import first_results


@pytest.mark.slow
def test_no_entry_point_lets_its_threads_wait_for_each_other_for_ever() -> None:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", first_results.__name__],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout.split() == [], found.stderr


def test_what_is_read_first_reaches_each_part_that_is_set_up_once() -> None:
    ready_for_threads()
    assert [str(value) for result in results() for (value,) in read(result)] == ["0", "0.00", "1970-01-01", "00:00:00"]
