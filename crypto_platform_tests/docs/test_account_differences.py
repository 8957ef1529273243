"""The page of what an account does otherwise names tests that are there."""

import ast
import re

from crypto_platform.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "explanation" / "snowflake.md").read_text()
TESTS = PROJECT_ROOT / "crypto_platform_tests"


def names_of_tests() -> set[str]:
    nodes = (node for file in TESTS.rglob("test_*.py") for node in ast.walk(ast.parse(file.read_text())))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert named <= names_of_tests(), named - names_of_tests()


def test_every_row_says_what_shows_it() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| ") and "|---" not in line and PAGE.index(line) < PAGE.index("## What was left"):
            shown = line.rstrip(" |").rpartition("|")[2]
            assert re.search(r"`test_\w+`|not by a test|shown by", shown), line


def test_the_experiments_are_numbered_as_their_tests() -> None:
    listed = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    written = sorted(name.split("_")[1] for name in names_of_tests() if re.match(r"test_\d_", name))
    assert listed == written == list("1234567")
