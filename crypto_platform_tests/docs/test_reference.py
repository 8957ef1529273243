import runpy
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.settings import PROJECT_ROOT


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT_ROOT / "docs" / "generate_reference.py"))


@pytest.fixture(scope="module")
def pages(generator: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = generator["pages"]()
    return found


def test_the_pages_are_what_the_code_says(generator: dict[str, Any]) -> None:
    stale = generator["stale"](generator["REFERENCE"])
    assert not stale, f"{stale}: run `python docs/generate_reference.py`"


def test_a_stale_and_a_missing_page_are_named(generator: dict[str, Any], pages: dict[str, str], tmp_path: Path) -> None:
    *current, changed, missing = pages
    for page in current:
        (tmp_path / page).write_text(pages[page])
    (tmp_path / changed).write_text(pages[changed] + "By hand.\n")
    assert generator["stale"](tmp_path) == [changed, missing]


def test_no_page_knows_the_machine(pages: dict[str, str]) -> None:
    for content in pages.values():
        assert str(PROJECT_ROOT) not in content
        assert str(Path.home()) not in content
