"""`crypto-platform import` as a person runs it."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
import requests
from typer.testing import CliRunner, Result

from crypto_platform.cli import importing
from crypto_platform.cli.app import app
from crypto_platform.importers.formats import FORMATS
from crypto_platform.sandbox.alpaca import running
from crypto_platform.settings import PROJECT_ROOT
from crypto_platform_tests.importers import vendors
from crypto_platform_tests.importers.conftest import recorded
from crypto_platform_tests.importers.test_reading import klines, write


@pytest.fixture(scope="module")
def btc() -> pd.DataFrame:
    return recorded("BTC-USD_1Min.parquet", "2026-03-07T00:00Z", "2026-03-09T00:00Z")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def test_help_lists_the_formats() -> None:
    assert importing.FORMATS.split(", ") == list(FORMATS)


def test_the_page_has_every_format_with_the_vendors_page() -> None:
    page = (PROJECT_ROOT / "docs" / "how-to" / "import.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \[(\d+)\] \|", page, re.MULTILINE)
    links = dict(re.findall(r"^\[(\d+)\]\((.+)\)$", page, re.MULTILINE))
    assert {name: links[number] for name, number in rows} == {name: format.url for name, format in FORMATS.items()}


@pytest.mark.sandbox
def test_what_is_imported_is_what_the_sandbox_serves(btc: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "bars"
    answer = run(vendors.binance_zip(btc, tmp_path), "--symbol", "BTC/USD", "--out", out)
    assert answer.exit_code == 0, answer.output
    with running(recordings=out) as url:
        query = {"symbols": "BTC/USD", "timeframe": "1Min", "start": "2026-03-07", "end": "2026-03-08T23:59:00Z"}
        body = requests.get(f"{url}/v1beta3/crypto/us/bars", {**query, "limit": "10000"}, timeout=30).json()
    served = pd.DataFrame(body["bars"]["BTC/USD"])
    names = {"t": "timestamp", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trade_count"}
    served = served.rename(columns=names)[list(names.values())]
    served["timestamp"] = pd.to_datetime(served.timestamp)
    pd.testing.assert_frame_equal(served, btc[list(names.values())], check_dtype=False, check_exact=True)


def test_it_says_what_it_recognised_why_and_what_became_of_each_row(btc: pd.DataFrame, tmp_path: Path) -> None:
    path, out = vendors.binance_zip(btc, tmp_path), tmp_path / "bars"
    arguments = (path, "--symbol", "BTCUSDT=BTC/USD", "--out", out)
    planned = run(*arguments, "--dry-run")
    assert planned.exit_code == 0
    assert not out.exists()
    assert "A dry run: nothing was written." in planned.output
    lines = run(*arguments).output.splitlines()
    assert lines[:-1] == planned.output.splitlines()[:-1]
    assert lines == [
        "binance: Binance klines, CSV and zip",
        "  format     12 columns, close times after open times, no header line",
        "  symbol     BTC/USD (BTCUSDT by the file's name, --symbol)",
        "  timeframe  1Min (close time - open time)",
        "  time zone  UTC (numbers since 1970, in microseconds)",
        "  label      start (open time)",
        f"  {path}/BTCUSDT-1m-2026-03.csv: 2,880 rows: 2,880 written",
        f"{out}/BTC-USD_1Min_2026.csv.gz: 2,880 bars of BTC/USD 1Min, 2026-03-07T00:00:00Z to 2026-03-08T23:59:00Z, "
        "2,880 new",
        "1 file, 2,880 rows: 2,880 written",
        "Next: crypto-platform materialize --feed crypto --from 2026-03-07 --to 2026-03-09 --symbols BTC/USD "
        f"--recordings {out}",
    ]
    again = run(*arguments).output
    assert "2,880 rows: 2,880 unchanged" in again
    assert "2026-03-08T23:59:00Z, unchanged" in again


def test_a_refused_file_and_a_rejected_row_make_exit_code_1(tmp_path: Path) -> None:
    good = write(tmp_path / "BTCUSDT-1m-2026-03.csv", *klines(5, line2="x", line3="y", line4="z", line5="w"))
    out, log = tmp_path / "bars", tmp_path / "rejected.csv"
    answer = run(tmp_path / "none.csv", good, "--out", out, "--rejected", log)
    assert answer.exit_code == 1
    assert f"  refused: {tmp_path}/none.csv: there is no such file" in answer.output
    assert "    rejected: 4 not a row of this layout: line 2 1 fields in place of 12: x, line 3 " in answer.output
    assert "2 files, 5 rows: 1 written, 4 rejected, 1 file refused" in answer.output
    assert "No feed has BTC/USDT of 1Min" in answer.output
    with log.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "line", "reason", "detail"]
    assert [row[:3] for row in rows[1:]] == [[str(good), str(n), "not a row of this layout"] for n in (2, 3, 4, 5)]


def test_a_row_that_is_left_out_as_documented_is_no_failure(btc: pd.DataFrame, tmp_path: Path) -> None:
    answer = run(vendors.kraken_rest(btc[:60], tmp_path), "--out", tmp_path / "bars")
    assert answer.exit_code == 0
    assert "    left out: 1 not complete yet, as the vendor's `last` says: row 60 '1772845140'" in answer.output


def test_recognised_alike_is_said_once(btc: pd.DataFrame, tmp_path: Path) -> None:
    vendors.lean_minutes(btc, tmp_path / "data", "btcusd", crypto=True)
    answer = run(tmp_path / "data", "--out", tmp_path / "bars")
    assert answer.exit_code == 0
    assert answer.output.count("lean-crypto: ") == 1
    assert answer.output.count("_trade.csv: ") == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--format", "excel"], "choose from binance"),
        (["--timezone", "Moon"], "write a name such as UTC"),
        (["--label", "middle"], "'middle' is not one of"),
    ],
)
def test_wrong_options_make_exit_code_2(tmp_path: Path, options: list[str], told: str) -> None:
    path = write(tmp_path / "BTCUSDT-1m-2026-03.csv", *klines(5))
    answer = run(path, "--out", tmp_path / "bars", *options)
    assert answer.exit_code == 2
    assert told in answer.stderr
    assert run(path, "--out", path).exit_code == 2


def test_a_bad_recording_in_the_folder_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    path, out = write(tmp_path / "BTCUSDT-1m-2026-03.csv", *klines(5)), tmp_path / "bars"
    out.mkdir()
    write(out / "bad_1Min.csv", "symbol,timestamp", "x,y")
    answer = run(path, "--out", out)
    assert answer.exit_code == 1
    assert "bad_1Min.csv: no column open, high" in answer.stderr
    answer = run(path, "--out", "/proc/bars")
    assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1)
    assert "/proc/bars is as it was" in answer.stderr
