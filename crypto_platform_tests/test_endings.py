"""Whatever is waited for has an end."""

import ast
from collections.abc import Iterator
from pathlib import Path

import crypto_platform

# Its child is the program that it holds, which runs for as long as it is wanted.
WITHOUT = {"sandbox/parent_death.py"}
ROOT = Path(crypto_platform.__file__).parent


def endless(path: Path) -> Iterator[int]:
    """The lines of a module that wait for a program, or for an HTTP answer, without a limit."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = ast.unparse(node.func)
            waits = of in ("subprocess.run", "subprocess.check_output", "subprocess.check_call") or (
                of.split(".")[0] in ("requests", "session", "asking")
                and of.split(".")[-1] in ("get", "post", "request")
            )
            if waits and not {"timeout"} & {keyword.arg for keyword in node.keywords}:
                yield node.lineno


def test_no_program_and_no_answer_is_waited_for_without_an_end() -> None:
    modules = [path for path in ROOT.rglob("*.py") if str(path.relative_to(ROOT)) not in WITHOUT]
    assert [f"{path.relative_to(ROOT)}:{line}" for path in modules for line in endless(path)] == []
