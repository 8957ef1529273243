"""The notebooks of `examples` run, and say what they say in the repository.

After an intended change: `WRITE_NOTEBOOKS=1 pytest crypto_platform_tests/examples`, and look at what they show now.
"""

import os
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from crypto_platform.settings import PROJECT_ROOT
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.research.known import FIRST, Known

EXAMPLES = PROJECT_ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# Of a notebook with its pictures.
MOST_BYTES = 200_000


def said(notebook: Any) -> list[tuple[str, str]]:
    """The text of each output, with its cell's code; pictures differ from machine to machine."""
    return [
        (cell.source, output.get("text") or output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" not in output.get("data", {})
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_and_says_the_same(path: Path, researched: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in researched.settings.environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    before = said(notebook)
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "image/png" in str(output)]
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}).execute()
    if os.environ.get("WRITE_NOTEBOOKS"):
        for cell in notebook.cells:
            # When a cell was run is nobody's business but that day's.
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
        return
    assert said(notebook) == before
    assert pictures, "the notebook has no picture: run it with WRITE_NOTEBOOKS=1"
    assert path.stat().st_size < MOST_BYTES


def test_what_is_told_first_is_what_the_notebooks_were_run_on(known: Known) -> None:
    from runpy import run_path

    told = run_path(str(EXAMPLES / "first_version.py"))["first_version"]()
    first = known.bars["crypto"][0]
    assert (first["observed_at"] == pd.Timestamp(FIRST).tz_convert(None)).all()
    starts = told["timestamp"].dt.tz_localize(None)
    assert starts.tolist() == first["bar_start"].tolist()
    for column in ("open", "high", "low", "close", "volume"):
        assert told[column].tolist() == first[column].tolist(), column
