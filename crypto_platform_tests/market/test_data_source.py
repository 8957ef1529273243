"""Where bars come from, and the command that takes them again from there."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from crypto_platform.market.data_source import again, label, moves_on, origin
from crypto_platform.settings import Settings, settings, use


@pytest.fixture
def default() -> Iterator[Settings]:
    before = settings()
    yield before
    use(before)


@pytest.mark.parametrize(
    ("market", "source"),
    [
        ({}, ""),
        ({"sandbox_simulated": True}, " --simulated"),
        ({"sandbox_simulated": True, "apca_api_data_url": "https://data.alpaca.markets"}, ""),
        ({"apca_api_data_url": "http://127.0.0.1:1", "data_origin": "simulated"}, " --simulated"),
    ],
)
def test_the_command_takes_the_bars_of_the_market_that_lacked_them(
    market: dict[str, Any], source: str, default: Settings
) -> None:
    use(default.model_copy(update=market))
    expected = f"crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-03-03{source}"
    assert again("crypto", date(2026, 3, 1), date(2026, 3, 3)) == expected


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        ({}, "recorded"),
        ({"sandbox_simulated": True}, "simulated"),
        ({"apca_api_data_url": "https://data.alpaca.markets", "sandbox_simulated": True}, "market"),
        ({"apca_api_data_url": "http://127.0.0.1:1", "data_origin": "recorded"}, "recorded"),
    ],
)
def test_bars_that_are_not_the_markets_say_so(market: dict[str, Any], expected: str, default: Settings) -> None:
    found = default.model_copy(update=market)
    assert origin(found) == expected
    assert label(found) == ("" if expected == "market" else expected)
    assert moves_on(found) == (expected != "recorded")
