"""Pages: together they are the slice, whatever the limit, the order and the symbols."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.sandbox.alpaca.paging import Position, page, parse
from crypto_platform.sandbox.alpaca.recordings import Recorded
from crypto_platform.sandbox.alpaca.simulated import Simulated

MINUTE = 60 * 10**9
ORIGIN = 1_772_323_200 * 10**9  # 2026-03-01T00:00:00Z

minutes = st.sets(st.integers(0, 60), max_size=25)


def iso(minute: int, nanoseconds: int = 0) -> str:
    hour, minute = divmod(minute, 60)
    return f"2026-03-01T{hour:02}:{minute:02}:00.{nanoseconds:09}Z"


@settings(max_examples=60, deadline=None)
@given(
    recorded=st.fixed_dictionaries({"BTC/USD": minutes, "ETH/USD": minutes, "SOL/USD": minutes}).filter(
        lambda r: any(r.values())
    ),
    asked=st.sets(st.sampled_from(["BTC/USD", "ETH/USD", "SOL/USD"]), min_size=1),
    ends=st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted),
    limit=st.integers(1, 30),
    descending=st.booleans(),
)
def test_the_pages_together_are_the_slice(recorded, asked, ends, limit, descending) -> None:
    with TemporaryDirectory() as folder:
        rows = [f"{s},{iso(m)},1,2,1,2,3" for s, found in recorded.items() for m in found]
        header = "symbol,timestamp,open,high,low,close,volume"
        (Path(folder) / "made_1Min.csv").write_text("\n".join([header, *rows]))
        source = Recorded(Path(folder))
    asked = {symbol for symbol in asked if recorded[symbol]} or {s for s in recorded if recorded[s]}
    parameters = {
        "symbols": ",".join(asked),
        "timeframe": "1Min",
        "start": iso(ends[0]),
        "end": iso(ends[1]),
        "limit": str(limit),
        "sort": "desc" if descending else "asc",
    }
    pages = []
    while True:
        query = parse(parameters, "crypto", source, now=ORIGIN)
        pages.append(page(source, query))
        assert len(pages) <= 61 * 3 + 1
        assert 0 < sum(map(len, pages[-1].bars.values())) <= limit or pages == pages[:1]
        if pages[-1].next is None:
            break
        assert sum(map(len, pages[-1].bars.values())) == limit
        parameters["page_token"] = pages[-1].next.token()
    served = [(s, (t - ORIGIN) // MINUTE) for p in pages for s, bars in p.bars.items() for t in bars.times.tolist()]
    expected = [
        (symbol, minute)
        for symbol in sorted(asked)
        for minute in sorted(recorded[symbol], reverse=descending)
        if ends[0] <= minute <= ends[1]  # both inclusive
    ]
    assert served == expected


@pytest.mark.parametrize("hour", [0, 3, 5, 12, 23])
@pytest.mark.parametrize(("asset_class", "symbol", "midnight"), [("crypto", "BTC/USD", 0), ("us_equity", "SPY", 5)])
def test_without_a_start_the_market_s_day_so_far_is_asked_for(asset_class, symbol, midnight, hour) -> None:
    now = ORIGIN + hour * 60 * MINUTE
    query = parse({"symbols": symbol, "timeframe": "1Min"}, asset_class, Simulated(), now)
    begun = midnight if hour >= midnight else midnight - 24  # New York's midnight of 1 March is 05:00 UTC
    assert (query.first, query.last) == (ORIGIN + begun * 60 * MINUTE, now)


@given(st.text(), st.none() | st.integers(), st.integers())
def test_a_token_leads_back_to_its_position(symbol: str, time: int | None, turn: int) -> None:
    position = Position(symbol.replace("|", ""), time, turn)
    assert Position.of(position.token()) == position


def test_a_nanosecond_decides_at_both_ends(tmp_path: Path) -> None:
    (tmp_path / "one_1Min.csv").write_text(f"symbol,timestamp,open,high,low,close,volume\nBTCUSDT,{iso(5)},1,2,1,2,3\n")
    source = Recorded(tmp_path)

    def found(start: str, end: str) -> bool:
        parameters = {"symbols": "BTC/USDT", "timeframe": "1Min", "start": start, "end": end}
        return bool(page(source, parse(parameters, "crypto", source, now=ORIGIN)).bars)

    assert found(iso(5), iso(5))
    assert found(iso(5), iso(5, 1))
    assert not found(iso(5, 1), iso(6))
    assert not found(iso(4), iso(4, 999_999_999))
