"""A universe that is a query of Alpaca's assets, beside the sandbox's list and bars read with nothing of ours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.assets import Asset
from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.alpaca.errors import AlpacaUnavailableError
from crypto_platform.connectors.lake import Lake
from crypto_platform.ingestion import universe_query
from crypto_platform.ingestion.universe import Universe
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.universe import UniverseSpec
from crypto_platform_tests.connectors.alpaca.conftest import Server, settings_for

TODAY = datetime.now(UTC).date()
OLD = date(2024, 5, 15)
HEADERS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}


@pytest.fixture
def client(server: Server) -> Iterator[AlpacaClient]:
    with AlpacaClient(settings_for(server.url)) as opened:
        yield opened


def universe(folder: Path, **query: Any) -> Universe:
    spec = FeedSpec(asset_class="us_equity", universe=query, timeframe="1Day", start_date="2024-01-01")
    return Universe(Lake(str(folder)), "stocks", spec)


def listed(server: Server) -> list[dict[str, Any]]:
    answer = requests.get(f"{server.url}/v2/assets", params={"asset_class": "us_equity"}, headers=HEADERS, timeout=60)
    found: list[dict[str, Any]] = answer.json()
    return found


def test_eleven_thousand_symbols_are_a_line(server: Server, client: AlpacaClient, tmp_path: Path) -> None:
    everyone = universe(tmp_path, exchange=["NASDAQ", "NYSE"], tradable=True)
    assert everyone.record([TODAY], client) == ()
    expected = sorted(a["symbol"] for a in listed(server) if a["exchange"] in ("NASDAQ", "NYSE") and a["tradable"])
    assert len(expected) > 3_000
    assert everyone.members([TODAY])[TODAY] == tuple(expected)
    assert everyone.lake.universe_day("stocks", TODAY).source == "Alpaca's active assets: NASDAQ NYSE, tradable"


def test_the_largest_are_those_of_the_month_before(
    server: Server, client: AlpacaClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [Asset(a["symbol"], a["exchange"], a["tradable"], True) for a in listed(server)[:30]]
    monkeypatch.setattr(universe_query, "assets", lambda *given: some if given[-1] == "active" else [])
    largest = universe(tmp_path, largest=5)
    days = [OLD, OLD + timedelta(days=31)]
    largest.record(days, client)
    for day in days:
        last = day.replace(day=1) - timedelta(days=1)
        parameters = {
            "symbols": ",".join(asset.symbol for asset in some),
            "timeframe": "1Day",
            "start": f"{last.replace(day=1)}T00:00:00Z",
            "end": f"{last}T23:59:59Z",
            "limit": 10_000,
        }
        answer = requests.get(f"{server.url}/v2/stocks/bars", params=parameters, headers=HEADERS, timeout=60).json()
        dollars = {symbol: sum(bar["vw"] * bar["v"] for bar in bars) for symbol, bars in answer["bars"].items()}
        assert len(dollars) == 30
        assert largest.members([day])[day] == tuple(sorted(sorted(dollars, key=lambda s: -dollars[s])[:5]))


def test_a_day_without_a_record_is_estimated_by_the_nearest_until_alpaca_is_asked(
    client: AlpacaClient, tmp_path: Path
) -> None:
    query = universe(tmp_path, exchange=["BATS"])
    with pytest.raises(ValueError, match="not known before a run has asked Alpaca"):
        query.members([TODAY])
    query.record([TODAY], client)
    known = query.members([TODAY])[TODAY]
    assert query.members([OLD]) == {OLD: known}
    assert query.lake.universe_days("stocks") == [TODAY]


def test_a_list_that_does_not_come_or_has_nobody_records_nothing(
    server: Server, client: AlpacaClient, tmp_path: Path
) -> None:
    nobody = universe(tmp_path, exchange=["NOWHERE"])
    with pytest.raises(ValueError, match="no asset of Alpaca's answers the query NOWHERE"):
        nobody.record([TODAY], client)
    gone = AlpacaClient(settings_for("http://127.0.0.1:1", alpaca_max_attempts=1))
    with pytest.raises(AlpacaUnavailableError, match="active us_equity assets"):
        nobody.record([TODAY], gone)
    assert list(tmp_path.iterdir()) == []


ASSETS = st.builds(
    Asset, st.sampled_from(["A", "B", "C", "D"]), st.sampled_from(["NYSE", "OTC"]), st.booleans(), st.booleans()
)


@given(
    listed=st.lists(ASSETS, max_size=6),
    exchange=st.sampled_from([(), ("NYSE",)]),
    tradable=st.sampled_from([None, True, False]),
    is_past=st.booleans(),
)
def test_what_was_delisted_is_a_candidate_of_the_past_alone(
    listed: list[Asset], exchange: tuple[str, ...], tradable: bool | None, is_past: bool
) -> None:
    query = UniverseSpec(exchange=exchange, tradable=tradable, largest=10)
    expected = set()
    for asset in listed:
        if exchange and asset.exchange not in exchange:
            continue
        if asset.is_active and (tradable is None or asset.is_tradable == tradable):
            expected.add(asset.symbol)
        if not asset.is_active and is_past:
            expected.add(asset.symbol)
    assert universe_query._candidates(query, listed, is_past) == sorted(expected)
