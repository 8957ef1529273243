"""Faults on demand: each shows in the answer, and says that it fired."""

import json
import math
import time
from typing import Any

import pytest
import requests

from crypto_platform.sandbox.alpaca.faults import (
    BARS,
    FIELDS,
    HALTS,
    KINDS,
    ONE_BAR,
    REFUSALS,
    RESPONSES,
    STREAMS,
    TOKENS,
)
from crypto_platform_tests.connectors.alpaca.conftest import Server

ASKED = {
    "symbols": "BTC/USD",
    "timeframe": "1Min",
    "start": "2026-03-01T00:00:00Z",
    "end": "2026-03-03T00:00:00Z",
    "limit": 1000,
}


def get(server: Server, timeout: float = 10, **change: Any) -> requests.Response:
    return requests.get(f"{server.url}/v1beta3/crypto/us/bars", ASKED | change, timeout=timeout)


def bars(server: Server, **change: Any) -> list[dict]:
    return json.loads(get(server, **change).text)["bars"].get("BTC/USD", [])


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("rate_limit", 429, "application/json"),
        ("server_error", 500, "application/json"),
        ("gateway_timeout", 504, "application/json"),
        ("html", 502, "text/html; charset=utf-8"),
    ],
)
def test_an_error_comes_as_often_as_armed(server: Server, kind: str, status: int, content_type: str) -> None:
    undisturbed = get(server).content
    server.arm(kind, times=2, skip=1)
    answers = [get(server) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, status, status, 200, 200]
    assert answers[1].headers["Content-Type"] == content_type
    assert answers[4].content == undisturbed
    assert server.fired() == 2


def test_a_429_tells_when_to_come_back(server: Server) -> None:
    server.arm("rate_limit", seconds=30)
    headers = get(server).headers
    assert headers["X-RateLimit-Remaining"] == "0"
    assert 28 <= int(headers["X-RateLimit-Reset"]) - time.time() <= 32
    assert server.fired() == 1


def test_a_hang_lasts_until_the_client_gives_up_or_its_time_is_over(server: Server) -> None:
    server.arm("hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(server, timeout=0.2)
    server.arm("hang", seconds=0.05)
    assert get(server).status_code == 504
    assert server.fired() == 2


def test_half_a_body_is_cut(server: Server) -> None:
    server.arm("half_body")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(server)
    assert server.fired() == 1
    assert get(server).status_code == 200


def test_a_looping_token_stays_the_same(server: Server) -> None:
    first = get(server).json()["next_page_token"]
    server.arm("looping_token", times=3)
    pages = [get(server, page_token=first).json() for _ in range(3)]
    assert [page["next_page_token"] for page in pages] == [first] * 3
    assert pages[0] == pages[1] == pages[2]
    assert get(server, page_token=first).json()["next_page_token"] != first
    assert server.fired() == 3


def test_a_duplicated_page_comes_under_a_new_token(server: Server) -> None:
    expected = [bar["t"] for bar in bars(server, limit=10_000)]
    server.arm("duplicated_page", skip=1)
    pages, tokens, token = [], [], None
    while True:
        page = get(server, page_token=token).json()
        pages.append([bar["t"] for bar in page["bars"]["BTC/USD"]])
        token = page["next_page_token"]
        if token is None:
            break
        tokens.append(token)
    assert pages[1] == pages[2]
    assert len(set(tokens)) == len(tokens)
    assert [t for page in pages[:1] + pages[2:] for t in page] == expected
    assert server.fired() == 1


def test_an_empty_day(server: Server) -> None:
    day = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    server.arm("empty", match=day)
    assert bars(server, start="2026-03-01T23:58:00Z")[0]["t"] == "2026-03-02T00:00:00Z"
    assert get(server, end="2026-03-01T12:00:00Z").json() == {"bars": {}, "next_page_token": None}
    assert server.fired() == 2


def test_corrected_bars_stay_corrected(server: Server) -> None:
    before = bars(server)
    match = {"symbol": "BTC/USD", "start": before[3]["t"], "end": before[5]["t"]}
    server.arm("corrected", match=match)
    after = bars(server)
    assert [one for one, other in zip(before, after, strict=True) if one != other] == before[3:5]
    assert after[3]["v"] == before[3]["v"] + 1
    assert after[3]["c"] == after[3]["h"] > before[3]["h"]
    assert bars(server) == after
    assert server.fired() == 2


@pytest.mark.parametrize("kind", sorted(ONE_BAR))
def test_one_bar_is_spoilt(server: Server, kind: str) -> None:
    before = bars(server, limit=5)
    server.arm(kind, match={"start": before[1]["t"]})
    after = bars(server, limit=5)
    spoilt = after[-1] if kind == "future" else after[1]
    others = [bar for bar in after if bar is not spoilt]
    assert others == [before[0], *before[2:]]
    if kind == "nan":
        assert math.isnan(spoilt["c"])
    elif kind == "inverted":
        assert spoilt["h"] < spoilt["l"]
    elif kind == "spike":
        assert (spoilt["h"], spoilt["c"]) == (before[1]["h"] * 10, before[1]["h"] * 10)
    elif kind == "future":
        assert spoilt["t"][:10] > time.strftime("%Y-%m-%d", time.gmtime())
    else:
        assert spoilt["t"].endswith(":07Z")
    assert server.fired() == 1
    assert bars(server, limit=5) == before


@pytest.mark.parametrize(
    "match",
    [
        {"symbol": "ETH/USD"},
        {"asset_class": "us_equity"},
        {"start": "2026-03-04T00:00:00Z"},
        {"end": "2026-03-01T00:00:00Z"},
    ],
)
def test_a_fault_spares_what_it_does_not_match(server: Server, match: dict) -> None:
    for kind in RESPONSES | BARS | ONE_BAR | TOKENS:
        server.arm(kind, match=match)
    assert get(server).json()["bars"]["BTC/USD"][0]["o"] == 66973.26
    assert server.fired() == 0


def test_every_kind_is_told_and_a_wrong_fault_refused(server: Server) -> None:
    url = f"{server.url}/sandbox/faults"
    assert requests.get(url, timeout=10).json() == {"faults": [], "kinds": KINDS}
    assert {*RESPONSES, *TOKENS, *BARS, *ONE_BAR, *FIELDS, *STREAMS, *HALTS, *REFUSALS} == set(KINDS)
    for wrong in ({"kind": "flood"}, {"kind": "html", "times": 0}, {"kind": "html", "match": {"sym": 1}}, []):
        answer = requests.post(url, json=wrong, timeout=10)
        assert answer.status_code == 400
        assert answer.json()["message"]
    assert requests.get(url, timeout=10).json()["faults"] == []
