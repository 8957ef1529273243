"""Write `crypto_platform/research/queries`: what is asked of a point of time, as dbt compiles this folder's analyses.

Run `python dbt_project/analyses/make_research_queries.py` after changing a macro of theirs; a test tells when it was
forgotten.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
QUERIES = PROJECT.parent / "crypto_platform" / "research" / "queries"
BOUND = ("known_at", "feed", "calendar", "symbols", "first", "after")
# What the macro `feed_attribute` makes of the feeds that dbt_project.yml has: a query is of one feed, any.
CALENDAR_OF_FEED = re.compile(r"case \w+\.feed(?: when '\w+' then '[^']+')+ end")


def query(node: Any) -> str:
    """The text of a compiled analysis for the connector: values bound by name, the database that of the session."""
    text = CALENDAR_OF_FEED.sub(":calendar", node.compiled_code).replace(f"{node.database}.", "").replace("%", "%%")
    text = re.sub(rf"(?<!:):({'|'.join(BOUND)})\b", r"%(\1)s", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(
        [f"-- dbt_project/analyses/{node.name}.sql, by make_research_queries.py: change it there.", *lines, ""]
    )


def main() -> None:
    from dbt.cli.main import dbtRunner

    with TemporaryDirectory() as target:
        folders = [f"--project-dir={PROJECT}", f"--profiles-dir={PROJECT}", f"--target-path={target}"]
        # Nothing is asked of the warehouse, which need not be up.
        chosen = ["--select", "resource_type:analysis", "--no-populate-cache", "--no-introspect"]
        outcome = dbtRunner().invoke(["--quiet", "compile", *chosen, *folders])
    if not outcome.success:
        raise SystemExit(str(outcome.exception))
    QUERIES.mkdir(exist_ok=True)
    for result in outcome.result.results:  # type: ignore[union-attr]
        (QUERIES / f"{result.node.name}.sql").write_text(query(result.node))


if __name__ == "__main__":
    main()
