"""REST, asked by an unchanged alpaca-py, held against Alpaca's specification and its recorded answers."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import schemathesis
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    StockBarsRequest,
    StockLatestBarRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from crypto_platform.sandbox.alpaca import running
from crypto_platform.sandbox.alpaca.limits import RateLimiter
from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS

FIXTURES = Path(__file__).parents[2] / "fixtures" / "alpaca"
KEYS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
BARS = {"crypto": "/v1beta3/crypto/us/bars", "us_equity": "/v2/stocks/bars"}
QUARTER = TimeFrame(15, TimeFrameUnit.Minute)

specification = schemathesis.openapi.from_path(FIXTURES / "openapi-market-data.json").include(
    path=[
        "/v1beta3/crypto/{loc}/bars",
        "/v1beta3/crypto/{loc}/latest/bars",
        "/v2/stocks/bars",
        "/v2/stocks/bars/latest",
        "/v1/corporate-actions",
    ]
)


def get(url: str, path: str, **parameters: Any) -> requests.Response:
    return requests.get(url + path, params=parameters, headers=KEYS, timeout=10)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@specification.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_keep_the_specification(case: schemathesis.Case, simulated_url: str) -> None:
    case.call_and_validate(
        base_url=simulated_url,
        headers=KEYS,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )


@pytest.mark.parametrize("path", sorted(BARS.values()))
def test_pages_of_bars_keep_the_specification(simulated_url: str, path: str) -> None:
    """What generated parameters seldom reach: a valid request with bars in the answer."""
    symbol = "BTC/USD" if "crypto" in path else "SPY"
    operation = specification[path.replace("/us/", "/{loc}/")]["GET"]
    answer = get(simulated_url, path, symbols=symbol, timeframe="1Min", start="2026-03-02T15:00:00Z", end="2026-03-03")
    assert len(answer.json()["bars"][symbol]) > 100
    operation.validate_response(answer)
    broken = answer.json()
    del broken["bars"][symbol][0]["vw"]
    answer._content = json.dumps(broken).encode()
    with pytest.raises(Exception, match='"vw" is a required property'):
        operation.validate_response(answer)


def _shape(value: Any) -> Any:
    """Keys and types; a price that happens to be whole is a number like the others."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return type(value).__name__


@pytest.mark.parametrize(
    "recorded", json.loads((FIXTURES / "rest-bars.json").read_text()), ids=lambda r: r["context"][:40]
)
def test_bars_have_the_shape_of_recorded_answers(simulated_url: str, recorded: dict) -> None:
    for symbol, bars in recorded["body"]["bars"].items():
        for theirs in bars if isinstance(bars, list) else [bars]:
            crypto = "/" in symbol
            path = BARS["crypto" if crypto else "us_equity"]
            ours = get(
                simulated_url, path, symbols=symbol, timeframe="1Day", start="2026-03-02T00:00:00Z", limit=1
            ).json()["bars"][symbol][0]
            floats = {"o", "h", "l", "c", "vw"} | ({"v"} if crypto else set())
            as_float = [{k: float(v) if k in floats else v for k, v in bar.items()} for bar in (ours, theirs)]
            assert _shape(as_float[0]) == _shape(as_float[1])


def test_errors_read_like_the_recorded_ones(recorded_url: str) -> None:
    errors = {e["when"].split(",")[0]: e for e in json.loads((FIXTURES / "http-errors.json").read_text())}
    crypto = {"symbols": "BTC/USD", "timeframe": "1Min"}
    bad_symbol = get(recorded_url, BARS["us_equity"], symbols="AAPL,CSP1", timeframe="1Day")
    backwards = get(recorded_url, BARS["crypto"], **crypto, start="2026-03-02", end="2026-03-01")
    nothing = get(recorded_url, BARS["crypto"], **crypto, start="2020-01-01", end="2020-01-02")
    asked = {
        "ONE bad symbol fails the whole multi-symbol request": bad_symbol,
        "end<start": backwards,
        "valid symbol(s)": nothing,
    }
    for when, answer in asked.items():
        assert (answer.status_code, answer.json()) == (errors[when]["status"], errors[when]["body"])
        assert answer.headers["X-RateLimit-Limit"] == "10000"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0}, "invalid limit: 0"),
        ({"limit": 10_001}, "invalid limit: 10001"),
        ({"timeframe": "60Min"}, "invalid timeframe: 60Min"),
        ({"timeframe": None}, "timeframe is required"),
        ({"symbols": None}, "symbols is required"),
        ({"start": "2026-03-01T00:00:00"}, "invalid start: 2026-03-01T00:00:00"),
        ({"end": "yesterday"}, "invalid end: yesterday"),
        ({"sort": "up"}, "invalid sort: up"),
        ({"page_token": "made up"}, "invalid page_token: made up"),
        ({"feed": "nyse"}, "invalid feed: nyse"),
        ({"adjustment": "raw,none"}, "invalid adjustment: none"),
        ({"asof": "soon"}, "invalid asof: soon"),
    ],
)
def test_a_bad_parameter_is_named(recorded_url: str, change: dict, message: str) -> None:
    answer = get(recorded_url, BARS["us_equity"], **({"symbols": "SPY", "timeframe": "15Min"} | change))
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


def test_alpaca_py_reads_a_recorded_day_to_the_last_digit(recorded_url: str) -> None:
    client = CryptoHistoricalDataClient(url_override=recorded_url)
    request = CryptoBarsRequest(
        symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Minute, start=utc(2026, 3, 1), end=utc(2026, 4, 1)
    )
    served = client.get_crypto_bars(request).df.reset_index()
    recording = pd.read_parquet(RECORDINGS / "BTC-USD_1Min.parquet")
    month = recording[recording.timestamp <= "2026-04-01T00:00Z"]  # both ends are inclusive
    assert len(served) == 31 * 1440 + 1
    expected = month.drop(columns="timeframe").reset_index(drop=True)[list(served.columns)]
    pd.testing.assert_frame_equal(served, expected, check_exact=True, check_dtype=False)


def test_alpaca_py_pages_over_stocks(recorded_url: str) -> None:
    client = StockHistoricalDataClient("key", "secret", url_override=recorded_url, raw_data=True)
    for timeframe, name in ((QUARTER, "15Min"), (TimeFrame.Day, "1Day")):
        request = StockBarsRequest(
            symbol_or_symbols=["SPY", "AAPL", "NVDA"],
            timeframe=timeframe,
            start=utc(2025, 1, 1),
            end=utc(2026, 12, 1),
            feed=DataFeed.IEX,
        )
        served = client.get_stock_bars(request)
        for symbol, bars in served.items():
            recording = pd.read_parquet(RECORDINGS / f"{symbol}_{name}.parquet")
            assert [bar["c"] for bar in bars] == recording.close.tolist()
            assert set(bars[0]) == {"t", "o", "h", "l", "c", "v"}
        assert list(served) == ["AAPL", "NVDA", "SPY"]


def test_alpaca_py_reads_the_latest_bars(simulated_url: str) -> None:
    crypto = CryptoHistoricalDataClient(url_override=simulated_url)
    bar = crypto.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols="ETH/USD"))["ETH/USD"]
    assert 60 <= time.time() - bar.timestamp.timestamp() < 130
    stocks = StockHistoricalDataClient("key", "secret", url_override=simulated_url)
    latest = stocks.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=["AAPL", "BRK.B"]))
    assert set(latest) == {"AAPL", "BRK.B"}


def test_an_unknown_symbol_is_alpaca_pys_api_error(recorded_url: str) -> None:
    client = CryptoHistoricalDataClient(url_override=recorded_url)
    with pytest.raises(APIError, match="invalid symbol: DOGE/USD") as failed:
        client.get_crypto_bars(CryptoBarsRequest(symbol_or_symbols=["BTC/USD", "DOGE/USD"], timeframe=TimeFrame.Minute))
    assert failed.value.status_code == 400


def test_stocks_need_keys_and_crypto_does_not(recorded_url: str) -> None:
    parameters = {"timeframe": "1Day", "start": "2026-03-02"}
    stocks = requests.get(recorded_url + BARS["us_equity"], {"symbols": "SPY", **parameters}, timeout=10)
    crypto = requests.get(recorded_url + BARS["crypto"], {"symbols": "BTC/USD", **parameters}, timeout=10)
    assert (stocks.status_code, crypto.status_code) == (401, 200)


@pytest.mark.sandbox
def test_given_keys_and_plan_are_held_to() -> None:
    options = ("--key-id", "right", "--secret", "pair", "--basic-plan", "--rate-limit", "1000")
    with running(None, True, *options) as url:
        asked = {"symbols": "SPY", "timeframe": "1Min", "start": "2026-03-02"}
        wrong = requests.get(url + BARS["us_equity"], asked, headers=KEYS, timeout=10)
        assert (wrong.status_code, wrong.json()) == (403, {"message": "forbidden."})
        right = {"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "pair"}
        recent = requests.get(url + BARS["us_equity"], asked, headers=right, timeout=10)
        assert recent.status_code == 403
        assert recent.json() == {"message": "subscription does not permit querying recent SIP data"}
        iex = requests.get(url + BARS["us_equity"], asked | {"feed": "iex"}, headers=right, timeout=10)
        assert iex.status_code == 200
        assert iex.headers["X-RateLimit-Limit"] == "1000"


def test_the_quota_is_counted_by_minute_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_772_323_219.5  # within the minute from …200
    monkeypatch.setattr(time, "time", lambda: now)
    limiter = RateLimiter(per_minute=2)
    assert [limiter.count("a")[0] for _ in range(3)] == [True, True, False]
    within, headers = limiter.count("b")
    assert within
    assert headers == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1772323260",
    }
    now = 1_772_323_260.0
    assert limiter.count("a")[0]


@pytest.mark.sandbox
def test_over_the_quota_is_429_with_the_time_to_come_back() -> None:
    with running(None, True, "--rate-limit", "1") as url:
        asked = {"symbols": "BTC/USD", "timeframe": "1Min"}
        # A minute may begin between two requests, hardly between three.
        answers = [requests.get(url + BARS["crypto"], asked, timeout=10) for _ in range(3)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json() == {"message": "too many requests."}
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert 0 < int(refused.headers["X-RateLimit-Reset"]) - time.time() + 2 <= 62


@pytest.mark.parametrize("path", ["/", "/nowhere", "/sandbox/faults", BARS["crypto"], BARS["us_equity"]])
def test_every_answer_says_that_it_is_not_alpacas(recorded_url: str, simulated_url: str, path: str) -> None:
    assert requests.get(recorded_url + path, timeout=10).headers["X-Not-Alpaca"] == "recorded"
    assert requests.get(simulated_url + path, timeout=10).headers["X-Not-Alpaca"] == "simulated"


def test_the_start_page_says_what_is_served(recorded_url: str, simulated_url: str) -> None:
    recorded = requests.get(recorded_url, timeout=10).text
    assert "This is not Alpaca" in recorded
    assert "BTC/USD 1Min: 132,480 bars, 2026-03-01T00:00:00Z to 2026-05-31T23:59:00Z" in recorded
    assert "no market ever made them" in requests.get(simulated_url, timeout=10).text


def test_the_assets_are_what_the_server_has(recorded_url: str, simulated_url: str) -> None:
    stocks = TradingClient("key", "secret", url_override=recorded_url).get_all_assets()
    assert [asset.symbol for asset in stocks] == ["AAPL", "NVDA", "SPY"]
    assert all(asset.tradable and asset.status == AssetStatus.ACTIVE for asset in stocks)
    crypto = get(recorded_url, "/v2/assets", asset_class="crypto", status="active").json()
    assert [(asset["symbol"], asset["exchange"], asset["class"]) for asset in crypto] == [
        ("BTC/USD", "CRYPTO", "crypto")
    ]
    many = get(simulated_url, "/v2/assets").json()
    symbols = [asset["symbol"] for asset in many]
    assert symbols == sorted(set(symbols))
    assert {"AAPL", "NVDA", "SPY"} < set(symbols)
    assert len(many) > 10_000
    assert 0 < sum(not asset["tradable"] for asset in many) < 500
    listed = get(simulated_url, "/v2/assets", exchange="NYSE").json()
    assert listed == [asset for asset in many if asset["exchange"] == "NYSE"] != []
    assert get(simulated_url, "/v2/assets", status="inactive").json() == []
    assert get(simulated_url, "/v2/assets", asset_class="pets").json() == {"message": "invalid asset_class: pets"}
    assert requests.get(f"{simulated_url}/v2/assets", timeout=10).status_code == 401
