import subprocess
import sys
from pathlib import Path

import pytest

from crypto_platform.orchestration.deferred_imports import deferred


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that takes a class and a module of another one, which is to be put off."""
    (tmp_path / "slow_part").mkdir()
    (tmp_path / "slow_part" / "__init__.py").write_text("class Root:\n    kind = 'root'\n")
    (tmp_path / "slow_part" / "tables.py").write_text("class Table:\n    def __init__(self, name): self.name = name\n")
    (tmp_path / "taker.py").write_text(
        "import slow_part.tables\nfrom slow_part import Root, tables\nfrom slow_part.tables import Table\n"
        "def first(names: list[tables.Table]) -> Root: return Table(names[0])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("slow_part", "slow_part.tables", "taker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_what_is_put_off_comes_at_its_first_use(packages: Path) -> None:
    with deferred("slow_part", "slow_part.tables"):
        import taker  # type: ignore[import-not-found]
    assert not {"slow_part", "slow_part.tables"} & set(sys.modules)
    assert taker.Root.kind == "root"
    assert taker.first(["bars"]).name == "bars"
    from slow_part.tables import Table  # type: ignore[import-not-found]

    assert isinstance(taker.Table("bars"), Table)


def test_what_is_loaded_already_is_taken_as_it_is(packages: Path) -> None:
    import slow_part  # type: ignore[import-not-found]

    with deferred("slow_part"):
        import taker
    assert taker.Root is slow_part.Root
    assert sys.modules["slow_part"] is slow_part


def test_a_name_that_is_not_there_says_so_when_it_is_used(packages: Path) -> None:
    with deferred("slow_part"):
        from slow_part import Branch
    with pytest.raises(AttributeError, match="module 'slow_part' has no attribute 'Branch'"):
        Branch()


def test_what_is_used_at_once_cannot_be_put_off(packages: Path) -> None:
    (packages / "taker.py").write_text("from slow_part import Root\nkind = Root.kind\n")
    with deferred("slow_part"), pytest.raises(ImportError, match=r"slow_part\.Root is used where it is deferred"):
        import taker  # noqa: F401
    assert "slow_part" not in sys.modules


@pytest.mark.slow
def test_a_run_loads_no_snowpark_and_has_it_where_it_is_used() -> None:
    script = (
        "import sys, dagster as dg; from crypto_platform.orchestration import resources\n"
        "resources.snowflake(dg.build_init_resource_context())\n"
        "print(sorted({'snowflake.core', 'snowflake.snowpark'} & set(sys.modules)))\n"
        "import dagster_snowflake.resources as theirs; builder = theirs.snowpark.Session.builder\n"
        "from snowflake.snowpark import Session; print(builder is not None, type(builder) is Session.SessionBuilder)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.splitlines()[-2:] == ["[]", "True True"]
