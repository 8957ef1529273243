"""The drill end to end with web server, daemon, code server and watchdog; `make drill` adds the pipeline's faults."""

import re
import subprocess
import sys

import pytest


@pytest.mark.sandbox
@pytest.mark.timeout(900)
def test_every_fault_of_dagster_is_told_and_its_recovery_too() -> None:
    drill = subprocess.run([sys.executable, "-m", "drill", "--quick"], capture_output=True, text=True, check=False)
    printed = drill.stdout + drill.stderr
    closing = re.search(r"^drill: (\d+) kinds, (\d+) alerted, (\d+) recovered, slowest \d+ s$", printed, re.MULTILINE)
    assert closing, printed
    assert closing[1] == closing[2] == closing[3] == "11", printed
    assert drill.returncode == 0
    assert "crypto-platform restart daemon" in printed
