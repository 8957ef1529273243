import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_platform.connectors.lake import Lake, LakeDayDamagedError, LakeDayMissingError, Section
from crypto_platform.market.bars import encode, line_prefix
from crypto_platform.market.dataset import format_time

DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)

lines = st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20)
moments = st.integers(0, 4 * 10**15).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n))
symbols = st.sampled_from(["AAPL", "BRK.B", "BTC/USD", "ETH/USD", "SPY"])
many_sections = st.dictionaries(symbols, st.builds(Section, moments, lines), max_size=4)


def bars_of(symbol: str, count: int) -> Section:
    prefix = line_prefix(symbol, "1Min")
    rows = [
        {"t": f"2026-03-01T{n // 60:02}:{n % 60:02}:00Z", "o": 1.5, "h": 2, "l": 1, "c": 1.7, "v": 0.1 * n}
        for n in range(count)
    ]
    return Section(NOON, [encode(prefix, row) for row in rows])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(first=many_sections, second=many_sections)
def test_what_was_written_is_read_and_other_symbols_stay(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, Section], second: dict[str, Section]
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    lake.write_day("crypto", "1Min", DAY, first, "one")
    assert lake.read_day("crypto", "1Min", DAY).sections == first

    lake.write_day("crypto", "1Min", DAY, second, "two")
    read = lake.read_day("crypto", "1Min", DAY)
    assert read.sections == {**first, **second}
    assert list(read.sections) == sorted(read.sections)
    assert read.run_id == "two"


def test_a_file_cut_anywhere_is_damaged(lake: Lake) -> None:
    lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 30)}, "run")
    file = Path(lake.path("crypto", "1Min", DAY))
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(LakeDayDamagedError, match="materialize --feed crypto --from 2026-03-01 --to 2026-03-02"):
            lake.read_day("crypto", "1Min", DAY)


def test_a_file_altered_anywhere_is_damaged_or_says_the_same(lake: Lake) -> None:
    written = lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 30)}, "run")
    file = Path(lake.path("crypto", "1Min", DAY))
    whole = file.read_bytes()
    damaged = 0
    for position in range(len(whole)):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            assert lake.read_day("crypto", "1Min", DAY) == written
        except LakeDayDamagedError:
            damaged += 1
    assert damaged > len(whole) // 2


def test_another_days_file_is_not_taken_for_this_day(lake: Lake) -> None:
    lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 3)}, "run")
    next_day = DAY + timedelta(days=1)
    Path(lake.path("crypto", "1Min", DAY)).rename(lake.path("crypto", "1Min", next_day))
    with pytest.raises(LakeDayDamagedError, match="it holds crypto 1Min 2026-03-01"):
        lake.read_day("crypto", "1Min", next_day)


def test_a_damaged_day_is_not_silently_replaced_by_some_symbols(lake: Lake) -> None:
    lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 3)}, "run")
    file = Path(lake.path("crypto", "1Min", DAY))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(LakeDayDamagedError):
        lake.write_day("crypto", "1Min", DAY, {"ETH/USD": bars_of("ETH/USD", 3)}, "run")


def test_a_missing_day_names_what_to_materialise(lake: Lake) -> None:
    assert lake.days("crypto", "1Min") == []
    with pytest.raises(LakeDayMissingError, match="materialize --feed crypto --from 2026-03-01 --to 2026-03-02"):
        lake.read_day("crypto", "1Min", DAY)


@pytest.mark.parametrize("feed", ["../crypto", "a/b", "", "Crypto", "crypto;", "crypto\n", ".."])
def test_only_plain_feed_names_reach_a_path(lake: Lake, feed: str) -> None:
    with pytest.raises(ValueError, match="not a feed's name"):
        lake.write_day(feed, "1Min", DAY, {}, "run")


@pytest.mark.parametrize("timeframe", ["../1Min", "1Week", "7Min", "1Min\n"])
def test_only_base_timeframes_reach_a_path(lake: Lake, timeframe: str) -> None:
    with pytest.raises(ValueError, match="not a base timeframe"):
        lake.read_day("crypto", timeframe, DAY)


@pytest.mark.parametrize("symbol", ["'; drop table x; --", "../../etc", "btc/usd", "BTC/USD\n"])
def test_only_symbols_reach_a_file(lake: Lake, symbol: str) -> None:
    with pytest.raises(ValueError, match="is not a symbol"):
        lake.write_day("crypto", "1Min", DAY, {symbol: Section(NOON, [])}, "run")
    assert lake.days("crypto", "1Min") == []


def test_a_line_with_a_line_break_is_refused(lake: Lake) -> None:
    with pytest.raises(ValueError, match="line break"):
        lake.write_day("crypto", "1Min", DAY, {"BTC/USD": Section(NOON, [b"{}\n{}"])}, "run")


def test_days_are_the_finished_files_in_order(lake: Lake) -> None:
    days = [DAY + timedelta(days=n) for n in (2, 0, 1)]
    for day in days:
        lake.write_day("crypto", "1Min", day, {}, "run")
    folder = Path(lake.path("crypto", "1Min", DAY)).parent
    (folder / ".2026-03-09.jsonl.zst.0123.tmp").write_bytes(b"left over")
    (folder / "notes.txt").write_text("no day")
    assert lake.days("crypto", "1Min") == sorted(days)


def test_any_fsspec_address_will_do() -> None:
    lake = Lake("memory://market/lake")
    try:
        sections = {"BTC/USD": bars_of("BTC/USD", 5)}
        lake.write_day("crypto", "1Min", DAY, sections, "run")
        assert lake.read_day("crypto", "1Min", DAY).sections == sections
        assert lake.days("crypto", "1Min") == [DAY]
    finally:
        fsspec.filesystem("memory").rm("/market", recursive=True)


KILLED_WRITER = """
import sys, time
from datetime import UTC, date, datetime
from fsspec.implementations.local import LocalFileSystem
from crypto_platform.connectors.lake import Lake, Section

def hang(*_):
    print("there", flush=True)
    time.sleep(600)

def half(self, path, data, **_):
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        hang()

if sys.argv[2] == "half written":
    LocalFileSystem.pipe_file = half
else:
    LocalFileSystem.mv = hang
new = Section(datetime(2026, 3, 2, tzinfo=UTC), [b"new"] * 1000)
Lake(sys.argv[1]).write_day("crypto", "1Min", date(2026, 3, 1), {"BTC/USD": new}, "new")
"""


@pytest.mark.parametrize("moment", ["half written", "not yet moved"])
def test_a_writer_killed_leaves_the_old_day_and_a_rerun_heals(lake: Lake, moment: str) -> None:
    old = lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 3)}, "old")
    with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, lake.url, moment], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"there\n"
        finally:
            writer.kill()
    folder = Path(lake.path("crypto", "1Min", DAY)).parent
    assert len(list(folder.glob(".*.tmp"))) == 1, "the writer was killed with its work unfinished"

    assert lake.read_day("crypto", "1Min", DAY) == old
    assert lake.days("crypto", "1Min") == [DAY]
    again = lake.write_day("crypto", "1Min", DAY, {"BTC/USD": bars_of("BTC/USD", 4)}, "again")
    assert lake.read_day("crypto", "1Min", DAY) == again


@given(moments)
def test_times_are_written_so_that_they_read_back(moment: datetime) -> None:
    text = format_time(moment)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == moment
