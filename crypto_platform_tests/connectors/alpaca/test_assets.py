"""The list of assets beside the sandbox's answer, and answers that are none."""

from typing import Any

import pytest
import requests

from crypto_platform.connectors.alpaca.assets import Asset, _Check, assets
from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.alpaca.errors import AlpacaConfigError, TransientError
from crypto_platform_tests.connectors.alpaca.conftest import Server, settings_for


def test_the_list_is_what_the_api_says(server: Server) -> None:
    headers = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
    listed = requests.get(f"{server.url}/v2/assets?asset_class=us_equity", headers=headers, timeout=60).json()
    with AlpacaClient(settings_for(server.url)) as client:
        found = assets(client, "stocks", "us_equity", "active")
        assert assets(client, "stocks", "us_equity", "inactive") == []
    assert found == [Asset(a["symbol"], a["exchange"], a["tradable"], True) for a in listed]


@pytest.mark.parametrize(
    "body",
    [
        {"bars": {}},
        None,
        ["AAPL"],
        [{"symbol": "AAPL", "exchange": "NASDAQ"}],
        [{"symbol": 1, "exchange": "", "tradable": True}],
    ],
)
def test_what_is_no_list_of_assets_is_asked_for_again(body: Any) -> None:
    with pytest.raises(TransientError):
        _Check()(body)


def test_keys_go_to_no_trading_api_in_the_clear(server: Server) -> None:
    with (
        AlpacaClient(settings_for(server.url, apca_api_base_url="http://example.com")) as client,
        pytest.raises(AlpacaConfigError, match="APCA_API_BASE_URL is plain http"),
    ):
        assets(client, "stocks", "us_equity", "active")
