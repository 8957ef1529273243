"""What becomes of a folder: extended, unchanged, refused, replaced, and whole whatever happens."""

import hashlib
import resource
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.importers import folder, spool
from crypto_platform.importers.folder import CHANGED, DISPUTED
from crypto_platform.importers.options import Options
from crypto_platform.importers.report import FileReport, Report
from crypto_platform.importers.run import import_files
from crypto_platform.sandbox.alpaca.recordings import RecordingError, read_folder
from crypto_platform_tests.importers import vendors
from crypto_platform_tests.importers.test_round_trips import FIVE, assert_served, served
from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS

KEY = ("BTC/USD", "1Min")
YEARS = st.integers(1980, 2100)


def kraken(bars: pd.DataFrame, folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return vendors.kraken_csv(bars, folder / name)


def run(paths: Path | list[Path], out: Path, **options: Any) -> Report:
    return import_files(paths if isinstance(paths, list) else [paths], out, **options)


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's content and when it was written."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def outcome(file: FileReport) -> dict[str, int]:
    names = ("written", "replaced", "unchanged", "duplicate")
    counts = {name: getattr(file, name) for name in names} | {"rejected": file.rejected.total()}
    assert file.rows == sum(counts.values()) + file.left_out.total()
    return {name: count for name, count in counts.items() if count}


def test_importing_again_changes_nothing_and_another_folder_gets_the_same_bytes(
    btc: pd.DataFrame, tmp_path: Path, out: Path
) -> None:
    path = kraken(btc, tmp_path, "a")
    run(path, out)
    before = state(out)
    report = run(path, out)
    assert outcome(report.files[0]) == {"unchanged": len(btc)}
    assert not any(written.changed for written in report.written)
    assert state(out) == before
    run(path, tmp_path / "other")
    assert [digest for digest, _ in state(tmp_path / "other").values()] == [digest for digest, _ in before.values()]


def test_later_earlier_and_missing_bars_extend_what_is_there(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    run(kraken(btc[100:200], tmp_path, "a"), out)
    report = run(kraken(pd.concat([btc[:120], btc[190:300]]), tmp_path, "b"), out)
    assert outcome(report.files[0]) == {"written": 200, "unchanged": 30}
    (written,) = report.written
    assert (written.bars, written.new) == (300, 200)
    assert (written.first, written.last) == ("2026-03-07T00:00:00Z", "2026-03-07T04:59:00Z")
    assert_served(out, {KEY: btc[:300]}, [*FIVE, "trade_count"])


def test_years_have_files_of_their_own(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = btc[:20].reset_index(drop=True)
    bars = bars.assign(timestamp=pd.date_range("2023-12-31T23:50Z", periods=20, freq="1min"))
    written = run(kraken(bars, tmp_path, "a"), out).written
    names = ["BTC-USD_1Min_2023.csv.gz", "BTC-USD_1Min_2024.csv.gz"]
    assert [(file.path.name, file.bars) for file in written] == [(name, 10) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    assert_served(out, {KEY: bars}, [*FIVE, "trade_count"])


def test_a_bar_that_differs_is_rejected_and_with_replace_takes_the_place(
    btc: pd.DataFrame, tmp_path: Path, out: Path
) -> None:
    run(kraken(btc[:50], tmp_path, "a"), out)
    changed = btc[:60].assign(close=btc.close.where(btc.index != 7, btc.high))
    path = kraken(changed, tmp_path, "b")
    (file,) = run(path, out).files
    assert outcome(file) == {"written": 10, "unchanged": 49, "rejected": 1}
    (told,) = file.examples[CHANGED]
    assert told.startswith("line 8 BTC/USD 1Min at 2026-03-07T00:07:00Z differs from ")
    assert told.endswith("BTC-USD_1Min_2026.csv.gz, line 9")
    assert served(out)[KEY].close.iloc[7] == btc.close[7]
    report = run(path, out, replace=True)
    assert outcome(report.files[0]) == {"replaced": 1, "unchanged": 59}
    assert_served(out, {KEY: changed}, [*FIVE, "trade_count"])
    assert outcome(run(path, out, replace=True).files[0]) == {"unchanged": 60}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_bars_of_files_that_somebody_else_wrote_count(
    btc: pd.DataFrame, spy: pd.DataFrame, tmp_path: Path, out: Path, suffix: str
) -> None:
    """They are compared with, and replaced where they are; nothing else in those files changes."""
    (out / "deep").mkdir(parents=True)
    own = pd.concat([btc[:30].assign(symbol="BTC/USD", timeframe="1Min"), spy.assign(symbol="SPY", timeframe="15Min")])
    path = out / "deep" / f"mine.{suffix}"
    own.to_parquet(path) if suffix == "parquet" else own.to_csv(path, index=False)
    before = state(out)
    (file,) = run(kraken(btc[:30], tmp_path, "a"), out).files
    assert outcome(file) == {"unchanged": 30}
    assert state(out) == before
    changed = btc[:40].assign(open=btc.open.where(btc.index != 3, 1.0))
    path = kraken(changed, tmp_path, "b")
    (file,) = run(path, out).files
    assert outcome(file) == {"written": 10, "unchanged": 29, "rejected": 1}
    assert outcome(run(path, out, replace=True).files[0]) == {"replaced": 1, "unchanged": 39}
    pd.testing.assert_frame_equal(served(out)[KEY][FIVE], changed.set_index("timestamp")[FIVE], check_freq=False)
    pd.testing.assert_frame_equal(
        served(out)["SPY", "15Min"], spy.set_index("timestamp")[list(served(out)["SPY", "15Min"])]
    )


def test_the_shipped_recording_is_what_binance_had(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    """The recording has VWAPs and the klines none: no difference."""
    shutil.copytree(RECORDINGS, out)
    report = import_files([vendors.binance_zip(btc, tmp_path)], out, Options.of(symbol=["BTC/USD"]))
    assert outcome(report.files[0]) == {"unchanged": len(btc)}


def test_rows_that_are_twice_and_those_that_differ(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = btc[:20]
    other = bars[10:11].assign(volume=1.0)
    a = kraken(pd.concat([bars, bars[5:8], other]), tmp_path, "a")
    b = kraken(pd.concat([bars[15:20], bars[3:4].assign(low=1.0)]), tmp_path, "b")
    first, second = run([a, b], out).files
    assert outcome(first) == {"written": 18, "duplicate": 3, "rejected": 3}
    assert outcome(second) == {"duplicate": 5, "rejected": 1}
    assert first.examples[DISPUTED] == [
        f"line 4 BTC/USD 1Min at 2026-03-07T00:03:00Z differs from {b}, line 6",
        f"line 11 BTC/USD 1Min at 2026-03-07T00:10:00Z differs from {a}, line 24",
        f"line 24 BTC/USD 1Min at 2026-03-07T00:10:00Z differs from {a}, line 11",
    ]
    assert second.examples[DISPUTED] == [f"line 6 BTC/USD 1Min at 2026-03-07T00:03:00Z differs from {a}, line 4"]
    assert_served(out, {KEY: bars.drop([3, 10])}, [*FIVE, "trade_count"])


def test_of_equal_bars_the_one_with_more_values_is_taken(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    plain = vendors.kraken_csv(btc[:60], tmp_path)
    with_vwap = vendors.kraken_rest(btc[:60], tmp_path)
    first, second = run([plain, with_vwap], out).files
    assert (first.written, first.duplicate, second.written) == (1, 59, 59)
    assert served(out)[KEY].vwap.iloc[0] == btc.vwap[0]


def test_a_dry_run_accounts_for_everything_and_writes_nothing(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    path = kraken(btc[:50], tmp_path, "a")
    report = run(path, out, dry_run=True)
    assert outcome(report.files[0]) == {"written": 50}
    assert not out.exists()
    run(path, out)
    before = state(out)
    report = run(kraken(btc[40:60], tmp_path, "b"), out, dry_run=True)
    assert outcome(report.files[0]) == {"written": 10, "unchanged": 10}
    assert state(out) == before


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_disk_that_fills_leaves_the_folder_as_it_was(
    btc: pd.DataFrame, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """In the spool and in what is staged: files grow no more at the limit."""
    run(kraken(btc[:50], tmp_path, "a"), out)
    before, path = state(out), kraken(btc, tmp_path, "b")
    monkeypatch.setattr(spool, "MEMORY", 0 if limit == 1 else spool.MEMORY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            run(path, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(out) == before
    assert [p.name for p in out.iterdir()] == ["BTC-USD_1Min_2026.csv.gz"]


def test_what_a_killed_import_left_is_not_served_and_is_removed(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    run(kraken(btc[:50], tmp_path, "a"), out)
    left = out / ".import-left"
    left.mkdir()
    (left / "0.tmp").write_text("symbol,timestamp")
    assert len(read_folder(out)) == 1
    run(kraken(btc[:60], tmp_path, "b"), out)
    assert not left.exists()


def test_an_import_waits_for_another_of_its_folder_and_not_for_good(
    btc: pd.DataFrame, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kraken(btc[:50], tmp_path, "a")
    monkeypatch.setattr(folder, "LOCK_SECONDS", 0.2)
    with folder.stage_in(out), pytest.raises(folder.FolderInUseError, match="run this one again") as refused:
        run(file, out)
    assert str(out) in str(refused.value)
    assert list(out.iterdir()) == []
    assert run(file, out).is_good


def test_an_interrupted_replacement_is_healed_by_the_next(
    btc: pd.DataFrame, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two renames the folder has both bars, and the sandbox refuses it."""
    out.mkdir()
    btc[:30].assign(symbol="BTC/USD").to_parquet(out / "mine_1Min.parquet")
    path = kraken(btc[:30].assign(close=btc.open), tmp_path, "a")
    replace_path = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.name == "mine_1Min.parquet":
            raise KeyboardInterrupt
        return replace_path(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(path, out, replace=True)
    monkeypatch.undo()
    with pytest.raises(RecordingError, match="differs from"):
        read_folder(out)
    run(path, out, replace=True)
    assert served(out)[KEY].close.tolist() == btc[:30].open.tolist()


def test_a_folder_with_a_bad_recording_is_not_written(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    (out / "bad_1Min.csv").write_text("symbol,timestamp,open,high,low,close,volume\nBTC/USD,soon,1,2,1,2,3\n")
    before = state(out)
    with pytest.raises(RecordingError, match=r"bad_1Min.csv, line 2: timestamp is 'soon'"):
        run(kraken(btc[:50], tmp_path, "a"), out)
    assert state(out) == before


def test_files_of_other_partitions_are_not_read(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    for name in ("BTC-USD_1Min_2021.csv.gz", "AAPL_1Day.csv.gz", "BRK.B_1Week.csv.gz", "ETH-USD_15Min_2026.csv.gz"):
        (out / name).write_text("not read")
    assert outcome(run(kraken(btc[:50], tmp_path, "a"), out).files[0]) == {"written": 50}


def test_a_file_of_an_imports_name_with_other_bars_is_left_alone(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    mixed = pd.concat([btc[:5].assign(symbol=symbol, timeframe="1Min") for symbol in ("BTC/USD", "ETH/USD")])
    mixed.to_csv(out / "BTC-USD_1Min_2026.csv.gz", index=False)
    before = state(out)
    with pytest.raises(RecordingError, match="it has bars of ETH/USD 1Min too, and an import writes it"):
        run(kraken(btc[:50], tmp_path, "a"), out)
    assert state(out) == before


@given(
    st.sampled_from(["BTC/USD", "1INCH/USDT", "AAPL", "BRK.B"]), st.sampled_from(["1Min", "12Month"]), st.none() | YEARS
)
def test_a_partition_is_known_by_its_files_name(symbol: str, timeframe: str, year: int | None) -> None:
    partition = spool.Partition(symbol, timeframe, year)
    assert spool.Partition.of_name(partition.file_name) == partition


def test_what_waits_on_disk_is_what_waits_in_memory(
    btc: pd.DataFrame, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [kraken(btc[a : a + 1500], tmp_path, str(a)) for a in (0, 1000, 1380)]
    expected = run(paths, tmp_path / "memory")
    monkeypatch.setattr(spool, "MEMORY", 1000)
    found = run(paths, out)
    assert [outcome(file) for file in found.files] == [outcome(file) for file in expected.files]
    assert [d for d, _ in state(out).values()] == [d for d, _ in state(tmp_path / "memory").values()]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 12), st.integers(1, 2)), min_size=3, max_size=12), min_size=1, max_size=3
    ),
    st.booleans(),
)
def test_any_files_in_a_row_are_what_a_dictionary_would_have(files: list[list[tuple[int, int]]], replace: bool) -> None:
    """A model: each file alone, then merged; of one start, differing bars of a file are none."""
    there: dict[int, int] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, rows in enumerate(files):
            path = folder / f"{number}" / "XBTUSD_1.csv"
            path.parent.mkdir()
            path.write_text("".join(f"{1772323200 + 60 * at},{p},{p},{p},{p},1,1\n" for at, p in rows))
            (file,) = import_files([path], folder / "out", Options.of(timeframe="1Min"), replace=replace).files
            prices = {at: {p for a, p in rows if a == at} for at, _ in rows}
            counts: Counter[str] = Counter()
            for at, found in prices.items():
                rows_of_it = sum(a == at for a, _ in rows)
                if len(found) > 1:
                    counts["rejected"] += rows_of_it
                    continue
                counts["duplicate"] += rows_of_it - 1
                (price,) = found
                if at not in there:
                    counts["written"] += 1
                elif there[at] == price:
                    counts["unchanged"] += 1
                    continue
                else:
                    counts["replaced" if replace else "rejected"] += 1
                    if not replace:
                        continue
                there[at] = price
            assert outcome(file) == +counts
        found_bars = served(folder / "out")[KEY].close if there else pd.Series(dtype=float)
        starts = [int((at - pd.Timestamp("2026-03-01T00:00Z")).total_seconds()) // 60 for at in found_bars.index]
        assert dict(zip(starts, found_bars.tolist(), strict=True)) == there
