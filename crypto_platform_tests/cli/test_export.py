"""`crypto-platform export`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crypto_platform.cli.app import app
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.folders import check_whole


@pytest.fixture
def here(researched: Warehouse, using: Callable[[Settings], Settings]) -> None:
    """The settings of this process are those of the warehouse."""
    using(researched.settings)


def export(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.usefixtures("here")
def test_it_says_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--to", "parquet", "--out", out, "--symbols", "AAPL, BTC/USD", "--start", "2020-01-01")
    first, again = export(*asked), export(*asked)
    assert first.exit_code == again.exit_code == 0, first.output
    assert f"{out}: 3 files written with 317 bars, 0 unchanged; 317 bars and " in first.output
    assert "feed='us_equity' reads them" in first.stderr
    assert f"{out} is up to date: 317 bars in 3 files." in again.output
    check_whole(out)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (("--symbols", "AAPLE"), 2, "is AAPL meant?"),
        ((), 2, "neither symbols nor a feed"),
        (("--feed", "crypto", "--timeframe", "2Min"), 2, "choose from 1Min"),
        (("--feed", "crypto", "--as-of", "2026-06-01"), 2, "give a moment of that day"),
        (("--feed", "crypto", "--start", "2026-03-02", "--end", "2026-03-01"), 2, "is before start"),
        (("--feed", "crypto", "--gzip"), 2, "--gzip is for --to csv"),
        (("--feed", "crypto", "--out", "/proc/out"), 1, "/proc"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, asked: tuple[str, ...], code: int, says: str) -> None:
    result = export("--to", "parquet", "--out", tmp_path / "out", *asked)
    assert (result.exit_code, says in result.output) == (code, True), result.output
    assert not (tmp_path / "out").exists()
