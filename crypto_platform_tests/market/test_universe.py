"""Files of universes, beside a reading of them by pandas."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_platform.market.universe import read_universe

D = date.fromisoformat


def written(folder: Path, text: str) -> Path:
    path = folder / "universe.csv"
    path.write_text(text)
    return path


def test_a_symbol_a_line_is_a_member_on_every_day(tmp_path: Path) -> None:
    found = read_universe(written(tmp_path, "# large caps\nMSFT\n\nAAPL\nBRK.B\n"), "us_equity")
    assert found.members(D("1998-01-02")) == found.members(D("2035-01-01")) == ("AAPL", "BRK.B", "MSFT")
    assert found.rejected == ()


def test_dates_are_half_open_and_a_symbol_may_come_back(tmp_path: Path) -> None:
    text = "\ufeffSymbol,name,From,To\nTWTR,Twitter,2013-11-07,2022-10-28\nDELL,,,2013-10-30\nDELL,,2018-12-28,\n"
    found = read_universe(written(tmp_path, text), "us_equity")
    days = ("2013-10-29", "2013-10-30", "2013-11-07", "2018-12-28", "2022-10-27", "2022-10-28")
    assert [found.members(D(day)) for day in days] == [
        ("DELL",), (), ("TWTR",), ("DELL", "TWTR"), ("DELL", "TWTR"), ("DELL",),
    ]  # fmt: skip


def test_a_line_that_cannot_be_used_is_named_and_the_others_are_members(tmp_path: Path) -> None:
    text = (
        "symbol,from,to\nAAPL,,\nBTC/USD,,\nMSFT,yesterday,\nNVDA,2026-03-02,2026-03-02\nAAPL,2026-01-01,\n,,\n"
        "SPY,2026-01-01,2026-02-01\nSPY,2026-02-01,\n"
    )
    found = read_universe(written(tmp_path, text), "us_equity")
    assert list(found.symbols) == ["AAPL", "SPY"]
    expected = {
        3: "'BTC/USD' is not a symbol of asset class us_equity",
        4: "yesterday",
        5: "[2026-03-02, 2026-03-02) is empty",
        6: "AAPL is listed for these days before",
        7: "'' is not a symbol",
    }
    assert len(found.rejected) == len(expected)
    for (line, words), said in zip(expected.items(), found.rejected, strict=True):
        assert said.startswith(f"line {line}: ")
        assert words in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"# nobody\n\n", "it is empty"),
        (b"symbol,from,to\n", "it is empty"),
        (b"ticker\nname\n", r"line 1: 'ticker' is not a symbol .*; line 2: 'name'"),
        (b"\xff\xfe\x00A", "cannot be read"),
    ],
)
def test_a_file_that_names_nobody_is_refused_with_the_remedy(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "universe.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)universe.csv .*{words}.*columns symbol, from, to"):
        read_universe(path, "us_equity")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"universe\.csv cannot be read .*No such file"):
        read_universe(tmp_path / "universe.csv", "us_equity")


DAYS = [D("2026-01-01").replace(day=day) for day in range(1, 32)]
EDGE = st.one_of(st.none(), st.sampled_from(DAYS))
ROWS = st.lists(st.tuples(st.sampled_from(["AAPL", "MSFT", "A", "BRK.B"]), EDGE, EDGE), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_members_are_those_that_pandas_finds(rows: list, tmp_path: Path) -> None:
    lines = [f"{symbol},{first or ''},{after or ''}" for symbol, first, after in rows]
    path = written(tmp_path, "\n".join(["symbol,from,to", *lines]))
    table = pd.read_csv(path, parse_dates=["from", "to"], keep_default_na=True)
    table["from"] = pd.to_datetime(table["from"]).fillna(pd.Timestamp.min)
    table["to"] = pd.to_datetime(table["to"]).fillna(pd.Timestamp.max)
    if (usable := table[table["from"] < table["to"]]).empty:
        with pytest.raises(ValueError, match="names no symbol"):
            read_universe(path, "us_equity")
        return
    # A line that overlaps one before it is left out, which may leave a day of its symbol out too.
    kept: list = []
    for row in usable.itertuples(index=False):
        if not any(k.symbol == row.symbol and k[1] < row[2] and row[1] < k[2] for k in kept):
            kept.append(row)
    found = read_universe(path, "us_equity")
    for day in DAYS:
        assert list(found.members(day)) == sorted({k.symbol for k in kept if k[1] <= pd.Timestamp(day) < k[2]})
    assert len(found.rejected) == len(rows) - len(kept)
