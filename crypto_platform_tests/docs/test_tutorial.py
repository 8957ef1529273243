"""The tutorial's commands, run in their order as they are on the page, in a copy of the checkout with its own home.

A block of `text` after one of `sh` is what the page says of its output: its words in their order, `…` for anything.
What takes its time is asked for again, as a reader would.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crypto_platform.settings import PROJECT_ROOT, Settings

PAGE = PROJECT_ROOT / "docs" / "tutorials" / "first-run.md"
# Lines of the page, what is run in their place, and why.
REPLACED = {
    "make demo": ("true", "takes minutes, of what cli/test_runs.py runs; nothing after it needs its data"),
    "source .venv/bin/activate": ("true", "the environment is on the PATH"),
    "make setup": ("(cd dbt_project && dbt --quiet parse --profiles-dir .)", "all else of it is there"),
    "make dashboard": ("true", "connectors/superset opens every dashboard in Chromium"),
}
# It is until Ctrl-C.
BACKGROUND = "crypto-platform up"
# The page says that it fails.
FAILS = "crypto-platform materialize --feed crypto_hourly --from 2026-01-01 --to 2026-01-08"
LEFT_OUT = (
    ".git",
    ".venv*",
    ".crypto_platform*",
    ".*_cache",
    "__pycache__",
    "target",
    "logs",
    "site",
    "recordings",
    "images",
)
LONGEST_WAIT_SECONDS = 240

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def blocks() -> list[tuple[str, str]]:
    """The commands of each block, and what the page says of their output."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shell = [place for place, (language, _) in enumerate(found) if language == "sh"]
    said = [found[place + 1][1] if place + 1 < len(found) and found[place + 1][0] == "text" else "" for place in shell]
    return [(found[place][1], text) for place, text in zip(shell, said, strict=True)]


def replaced(commands: str) -> str:
    lines = [REPLACED.get(line, (line, ""))[0] for line in commands.splitlines()]
    return "\n".join(f"{line} || true" if line == FAILS else line for line in lines)


def pattern(said: str) -> re.Pattern[str]:
    """Columns may be wider than on the page."""
    words = [re.escape(word) for word in re.split(r"…|[ \n]+", said) if word]
    return re.compile(".*?".join(words), re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that a reader may change, with what `make setup` prepared."""
    copy = tmp_path_factory.mktemp("tutorial") / "crypto_platform"
    shutil.copytree(PROJECT_ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (copy / "recordings").symlink_to(PROJECT_ROOT / "recordings")
    target = copy / "dbt_project" / "target"
    target.mkdir()
    for name in ("manifest.json", "partial_parse.msgpack"):
        shutil.copy(PROJECT_ROOT / "dbt_project" / "target" / name, target)
    return copy


@pytest.fixture(scope="module")
def environment(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from crypto_platform_tests.conftest import FREE_PORTS, SHARED

    fresh = Settings(crypto_platform_home=tmp_path_factory.mktemp("home"), **SHARED, **FREE_PORTS)
    own = fresh.model_copy(update={"sandbox_recordings": clone / "recordings"})
    path = f"{Path(shutil.which('dbt') or PROJECT_ROOT / '.venv/bin/dbt').parent}:{os.environ['PATH']}"
    return {**os.environ, **own.environment(), "PYTHONPATH": str(clone), "PATH": path, "COLUMNS": "160"}


@contextmanager
def running(command: str, ready: str, clone: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run the command until it says `ready`, and to the end of the block; then Ctrl-C."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command.split(), cwd=clone, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        until = time.monotonic() + LONGEST_WAIT_SECONDS
        while ready not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.5)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()


def test_every_command_of_the_tutorial_does_what_the_page_says(
    clone: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    assert (clone / "crypto_platform" / "definitions.py").exists()
    page = blocks()
    (up,) = [place for place, (commands, _) in enumerate(page) if commands.strip() == BACKGROUND]
    for commands, said in page[:up]:
        run(commands, said, clone, environment)
    with running(BACKGROUND, "Ctrl-C stops everything", clone, environment, tmp_path / "up.log"):
        for commands, said in page[up + 1 :]:
            run(commands, said, clone, environment)


def run(commands: str, said: str, clone: Path, environment: dict[str, str]) -> None:
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        done = subprocess.run(
            ["bash", "-euc", replaced(commands)],
            cwd=clone,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        if pattern(said).search(done.stdout):
            return
        assert time.monotonic() < until, f"{commands}\n{done.stdout}\nis not\n{said}"
        time.sleep(2)


def test_what_is_replaced_is_on_the_page() -> None:
    lines = [line for commands, _ in blocks() for line in commands.splitlines()]
    assert {*REPLACED, BACKGROUND, FAILS} <= set(lines)
