"""Membership by day: as it was when the day was first asked for, and never today's."""

from datetime import date
from pathlib import Path

import pytest

from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.lake import Lake, LakeDayDamagedError
from crypto_platform.ingestion.universe import Universe, select, union
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform_tests.connectors.alpaca.conftest import settings_for

# Of a file nothing is asked.
CLIENT = AlpacaClient(settings_for("http://127.0.0.1:1"))
FIRST, SECOND, THIRD = (date(2026, 3, day) for day in (2, 3, 4))


@pytest.fixture
def universe(tmp_path: Path) -> Universe:
    """A feed of stocks whose members are in a file."""
    spec = FeedSpec(
        asset_class="us_equity", universe={"file": "universe.csv"}, timeframe="1Day", start_date="2026-01-01"
    )
    made = Universe(Lake(str(tmp_path / "lake")), "stocks", spec.within(tmp_path))
    write(made, "AAPL", "TWTR")
    return made


def write(universe: Universe, *lines: str) -> None:
    assert universe.spec.universe
    universe.spec.universe.file.write_text("\n".join(lines))


def test_a_recorded_day_keeps_its_members_whatever_the_file_says_later(universe: Universe) -> None:
    assert universe.record([FIRST, SECOND], CLIENT) == ()
    write(universe, "AAPL", "NVDA")
    universe.record([SECOND, THIRD], CLIENT)
    assert universe.members([THIRD, FIRST, SECOND]) == {
        THIRD: ("AAPL", "NVDA"),
        FIRST: ("AAPL", "TWTR"),
        SECOND: ("AAPL", "TWTR"),
    }
    assert universe.as_of(FIRST).symbols == ("AAPL", "TWTR")
    assert universe.lake.universe_day("stocks", FIRST).source == "universe.csv"


def test_a_day_before_the_first_record_has_the_members_that_the_files_dates_say(universe: Universe) -> None:
    write(universe, "symbol,from,to", "AAPL,,", f"TWTR,,{SECOND}", f"NVDA,{SECOND},")
    assert universe.members([FIRST, SECOND]) == {FIRST: ("AAPL", "TWTR"), SECOND: ("AAPL", "NVDA")}


@pytest.mark.parametrize("text", ["", "not a symbol\n"])
def test_a_file_that_cannot_be_used_changes_nothing_and_recorded_days_are_still_known(
    universe: Universe, text: str
) -> None:
    universe.record([FIRST], CLIENT)
    write(universe, text)
    with pytest.raises(ValueError, match=r"universe\.csv names no symbol"):
        universe.record([FIRST, SECOND], CLIENT)
    assert universe.record([FIRST], CLIENT) == ()
    assert universe.members([FIRST]) == {FIRST: ("AAPL", "TWTR")}
    with pytest.raises(ValueError, match=r"universe\.csv names no symbol"):
        universe.members([FIRST, SECOND])


def test_bad_lines_are_told_and_the_others_recorded(universe: Universe) -> None:
    write(universe, "AAPL", "not a symbol")
    (said,) = universe.record([FIRST], CLIENT)
    assert said.startswith("line 2: 'not a symbol'")
    assert universe.members([FIRST]) == {FIRST: ("AAPL",)}


def test_a_damaged_record_is_never_taken_for_a_smaller_universe(universe: Universe, tmp_path: Path) -> None:
    universe.record([FIRST], CLIENT)
    (path,) = (tmp_path / "lake" / "stocks" / "universe").glob("*.json")
    path.write_text(path.read_text().replace('"AAPL",', ""))
    with pytest.raises(LakeDayDamagedError, match="its checksum does not match"):
        universe.members([FIRST])
    path.write_text("{")
    with pytest.raises(LakeDayDamagedError, match="is damaged"):
        universe.record([FIRST], CLIENT)


def test_a_selection_is_of_members_of_the_days(universe: Universe) -> None:
    write(universe, "symbol,from,to", "AAPL,,", f"TWTR,,{SECOND}")
    members = universe.members([FIRST, SECOND])
    assert select("stocks", members, ()) == members
    assert select("stocks", members, ["TWTR"]) == {FIRST: ("TWTR",), SECOND: ()}
    assert union(members) == ("AAPL", "TWTR")
    with pytest.raises(ValueError, match="NVDA is not among the symbols of feed stocks"):
        select("stocks", members, ["NVDA"])
    with pytest.raises(ValueError, match="TWTR is not among the symbols"):
        select("stocks", universe.members([SECOND]), ["TWTR"])
    with pytest.raises(ValueError, match="no member on 2026-03-02 to 2026-03-02"):
        select("stocks", {FIRST: ()}, ())


def test_a_feed_of_symbols_has_them_every_day_and_records_nothing(tmp_path: Path) -> None:
    spec = FeedSpec(asset_class="crypto", symbols=("BTC/USD",), start_date="2026-01-01")
    universe = Universe(Lake(str(tmp_path)), "crypto", spec)
    assert universe.record([FIRST], CLIENT) == ()
    assert universe.members([FIRST]) == {FIRST: ("BTC/USD",)}
    assert universe.as_of(FIRST) is spec
    assert list(tmp_path.iterdir()) == []
