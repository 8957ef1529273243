"""Results that the emulator gives out in chunks, and what it keeps of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import requests
from fakesnow import cursor
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.sandbox.fakesnow_patches import large_results
from crypto_platform.sandbox.fakesnow_patches.large_results import CHUNK_ROWS, INLINE_ROWS, RESULTS_KEPT, Results
from crypto_platform.settings import Settings

ROWS = INLINE_ROWS + 2 * CHUNK_ROWS + 7
NUMBERS = (
    "select number, cast(number as varchar) as text, number / 4.0::float as quarter, "
    "dateadd('microsecond', number, '2026-03-01'::timestamp_ntz) as at, iff(number % 3 = 0, null, number) as holed "
    "from (select row_number() over (order by seq4()) - 1 as number from table(generator(rowcount => {})))"
)


def expected(rows: int) -> pd.DataFrame:
    number = pd.Series(range(rows))
    return pd.DataFrame(
        {
            "NUMBER": number,
            "TEXT": number.astype(str),
            "QUARTER": number / 4,
            "AT": pd.Timestamp("2026-03-01") + pd.to_timedelta(number, unit="us"),
            "HOLED": number.where(number % 3 != 0).astype(float),
        }
    )


@pytest.mark.parametrize("rows", [INLINE_ROWS + CHUNK_ROWS, INLINE_ROWS + CHUNK_ROWS + 1, ROWS])
def test_chunks_together_are_the_result(snowflake: Settings, rows: int) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-distributed-fetch"""
    with connect(snowflake) as connection, connection.cursor() as session:
        session.execute(NUMBERS.format(rows))
        batches = session.get_result_batches() or []
        assert sum(batch.rowcount for batch in batches) == rows
        assert len(batches) == (1 if rows == INLINE_ROWS + CHUNK_ROWS else 1 + -(-(rows - INLINE_ROWS) // CHUNK_ROWS))
        found = session.fetch_arrow_all(force_return_table=True).to_pandas()
    pd.testing.assert_frame_equal(found.sort_values("NUMBER", ignore_index=True), expected(rows), check_dtype=False)


def test_rows_are_read_one_by_one_as_well(snowflake: Settings) -> None:
    with connect(snowflake) as connection, connection.cursor() as session:
        session.execute(f"select number from ({NUMBERS.format(ROWS)}) order by number")
        assert [number for (number,) in session] == list(range(ROWS))


def test_with_its_session_a_result_is_gone(snowflake: Settings) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-distributed-fetch"""
    with connect(snowflake) as connection, connection.cursor() as session:
        session.execute(NUMBERS.format(ROWS))
        url = session.get_result_batches()[1]._remote_chunk_info.url
        assert requests.get(url, timeout=10).status_code == 200
        assert requests.get(f"{url}9", timeout=10).status_code == 410
        scratch = snowflake.crypto_platform_home / "sandbox" / "snowflake" / "scratch"
        assert not [file for file in scratch.rglob("*") if file.is_file()]
    assert requests.get(url, timeout=10).status_code == 410


def test_a_session_keeps_its_last_results_and_no_other_s(monkeypatch: pytest.MonkeyPatch) -> None:
    results, table = Results(), pa.table({"a": [1]})
    other = results.keep("other", table, [])
    names = [results.keep("one", table, []) for _ in range(RESULTS_KEPT + 2)]
    assert [name for name in names if results.get(name)] == names[2:]
    assert results.get(other)
    monkeypatch.setattr(large_results, "IDLE_SECONDS", -1.0)
    results.keep("third", table, [])
    assert not [name for name in (other, *names) if results.get(name)]


# DuckDB's word to those who call it for Arrow alone; fakesnow does not.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A cursor of fakesnow itself, patched."""
    monkeypatch.setattr(cursor.FakeSnowflakeCursor, "__init__", cursor.FakeSnowflakeCursor.__init__)
    instance = FakeSnow()
    large_results.install(cursor, instance, tmp_path)
    return instance.connect(database="MARKET", schema="RAW").cursor()


def test_scannable_are_the_last_results_and_of_large_ones_the_last(session: Any) -> None:
    session.execute("select 'scanned' as found")
    scanned = session.sfqid
    for _ in range(large_results.SCANNED_KEPT - 2):
        session.execute("select 1")
    session.execute(f"select * from table(result_scan('{scanned}'))")
    assert session.fetchall() == [("scanned",)]
    session.execute("select 1")
    session.execute("select repeat('x', 1000) as large from table(generator(rowcount => 100000))")
    large = session.sfqid
    assert list(session._conn.results_cache) == [large]
    session.execute("select 1")
    with pytest.raises(ProgrammingError, match="not found"):
        session.execute(f"select * from table(result_scan('{large}'))")


def test_a_result_that_finds_no_room_is_an_error(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large_results, "TemporaryFile", full)
    session.execute(NUMBERS.format(CHUNK_ROWS // 2))
    with pytest.raises(ProgrammingError, match="No space left on device"):
        session.execute(NUMBERS.format(CHUNK_ROWS + 1))
