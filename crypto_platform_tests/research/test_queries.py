"""The queries of a point of time are those that dbt makes of its macros."""

from runpy import run_path
from typing import Any

from crypto_platform.research import bars_query
from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse


def test_the_package_has_the_analyses_as_dbt_compiles_them(researched: Warehouse) -> None:
    made: dict[str, Any] = run_path(str(PROJECT / "analyses" / "make_research_queries.py"))
    compiled = {
        result.node.name: made["query"](result.node)
        for result in researched.dbt("compile", "--select", "resource_type:analysis")
    }
    assert compiled == {file.stem: file.read_text() for file in made["QUERIES"].glob("*.sql")}
    # One query serves every feed: none is named in it.
    assert not [name for name, text in compiled.items() if "us_equity" in text or "crypto'" in text]
    assert bars_query.query("bars_as_of") == compiled["bars_as_of"]
