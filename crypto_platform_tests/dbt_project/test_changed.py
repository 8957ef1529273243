"""What a change touches: where it began, and which models dbt then chooses."""

import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from crypto_platform.settings import PROJECT_ROOT
from crypto_platform.transform.paths import PROJECT_DIR
from crypto_platform_tests.dbt_project import changed


def git(repository: Path, *arguments: str) -> str:
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    command = ["git", *author, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path) -> str:
    git(repository, "commit", "--allow-empty", "-m", f"commit {uuid4()}")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-b", "main")
    return tmp_path


def test_a_change_begins_where_it_left_main(repository: Path) -> None:
    assert changed.base(repository) is None
    first = commit(repository)
    assert changed.base(repository) is None
    left = commit(repository)
    assert changed.base(repository) == first
    git(repository, "switch", "-c", "branch")
    commit(repository)
    commit(repository)
    git(repository, "switch", "main")
    commit(repository)
    git(repository, "switch", "branch")
    assert changed.base(repository) == left


def test_without_a_repository_or_a_project_there_is_no_state(repository: Path, tmp_path: Path) -> None:
    first = commit(repository)
    assert changed.state(repository, first, tmp_path) is None
    assert changed.base(Path("/")) is None


@pytest.mark.slow
def test_what_was_changed_and_what_follows_is_chosen(repository: Path, tmp_path: Path) -> None:
    built = shutil.ignore_patterns("target", "logs")
    shutil.copytree(PROJECT_DIR, repository / "dbt_project", ignore=built)
    git(repository, "add", "dbt_project")
    before = commit(repository)
    with (repository / "dbt_project/models/marts/analytics/market_overview.sql").open("a") as model:
        model.write("-- changed\n")
    found = changed.state(repository, before, tmp_path / "was")
    assert found
    untouched = {"fct_bars", "fct_gaps", "fct_indicators_1d", "int_day_gaps"}
    listed = set(changed.touched(repository / "dbt_project", found))
    assert "market_overview" in listed
    assert not listed & {*untouched, "fct_returns_1d", "int_market_state"}
    with (repository / "dbt_project/models/marts/analytics/fct_returns_1d.sql").open("a") as model:
        model.write("-- changed\n")
    listed = set(changed.touched(repository / "dbt_project", found))
    assert listed >= {"fct_returns_1d", "int_market_state", "market_overview", "live_prices"}
    assert not listed & untouched


def test_the_makefile_and_ci_run_it() -> None:
    assert "crypto_platform_tests.dbt_project.changed" in (PROJECT_ROOT / "Makefile").read_text()
    assert "make changed" in (PROJECT_ROOT / ".ci/run").read_text()
