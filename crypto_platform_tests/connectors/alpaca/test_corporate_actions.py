"""The client of corporate actions, against the sandbox server and against what any server may answer."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.corporate_actions import (
    CorporateActionsRequest,
    ObservedAction,
    _Check,
    corporate_actions,
)
from crypto_platform.connectors.alpaca.errors import (
    AlpacaConfigError,
    AlpacaUnavailableError,
    CancelledError,
    TransientError,
)
from crypto_platform.market.corporate_actions import FIELDS, flatten
from crypto_platform.sandbox.alpaca import launch
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform_tests.connectors.alpaca.conftest import Server, settings_for

ANSWERS = Path(__file__).parents[2] / "fixtures" / "alpaca" / "rest-corporate-actions.json"
START, END = date(2015, 1, 1), date(2025, 1, 1)


def ask(client: AlpacaClient, request: CorporateActionsRequest, traffic: Traffic | None = None) -> list[ObservedAction]:
    return list(corporate_actions(client, request, traffic or Traffic(), threading.Event()))


def of(*symbols: str, start: date = START, end: date = END) -> CorporateActionsRequest:
    return CorporateActionsRequest("us_equity", symbols, start, end)


@pytest.fixture
def client(server: Server) -> Iterator[AlpacaClient]:
    with AlpacaClient(settings_for(server.url)) as client:
        yield client


@pytest.fixture
def recording_client(tmp_path: Path) -> Iterator[Callable[[dict[str, list[dict]]], AlpacaClient]]:
    """Makes a client of a server that has the given arrays recorded."""
    with ExitStack() as stack:

        def client_of(arrays: dict[str, list[dict]]) -> AlpacaClient:
            (tmp_path / "AAPL_1Day.csv").write_text(
                "symbol,timestamp,open,high,low,close,volume\nAAPL,2020-08-28T04:00:00Z,1,1,1,1,1\n"
            )
            (tmp_path / "made_corporate-actions.json").write_text(json.dumps({"corporate_actions": arrays}))
            url = stack.enter_context(launch.running(tmp_path))
            return stack.enter_context(AlpacaClient(settings_for(url)))

        yield client_of


def expected(*symbols: str, start: date = START, end: date = END) -> set[str]:
    found = Simulated().corporate_actions.between(symbols, start, end - timedelta(days=1))
    return {action.body["id"] for action in found}


def test_every_action_comes_once_and_flat(client: AlpacaClient) -> None:
    before = datetime.now(UTC)
    found = ask(client, of("AAPL", "NVDA", "SPY"))
    assert {action.action["action_id"] for action in found} == expected("AAPL", "NVDA", "SPY")
    assert len(found) == len(expected("AAPL", "NVDA", "SPY"))
    assert all(list(action.action) == [f.wire for f in FIELDS] for action in found)
    assert all(before <= action.observed_at <= datetime.now(UTC) for action in found)
    assert {action.action["action_type"] for action in found} == {"forward_split", "reverse_split", "cash_dividend"}


def test_pages_and_groups_of_symbols_lose_and_double_nothing(
    client: AlpacaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(client, of("AAPL", "KO", "NVDA", "SPY", "T"))
    monkeypatch.setattr("crypto_platform.connectors.alpaca.corporate_actions.LONGEST_GROUP", 2)
    monkeypatch.setattr("crypto_platform.connectors.alpaca.corporate_actions.PAGE_ACTIONS", 7)
    traffic = Traffic()
    parts = ask(client, of("AAPL", "KO", "NVDA", "SPY", "T"), traffic)
    assert sorted(a.action["action_id"] for a in parts) == sorted(a.action["action_id"] for a in whole)
    assert traffic.pages == traffic.requests > len(whole) / 7
    assert not traffic.retries


def test_five_hundred_symbols_are_three_requests(client: AlpacaClient) -> None:
    symbols = tuple(f"{a}{b}{c}" for a in "ABCDE" for b in "ABCDEFGHIJ" for c in "ABCDEFGHIJ")
    traffic = Traffic()
    found = ask(client, of(*symbols, start=date(2024, 11, 15), end=date(2024, 11, 16)), traffic)
    assert traffic.pages == 3
    wanted = expected(*symbols, start=date(2024, 11, 15), end=date(2024, 11, 16))
    assert {a.action["action_id"] for a in found} == wanted
    assert wanted


def test_the_range_is_half_open(client: AlpacaClient) -> None:
    days = sorted({a.action["process_date"] for a in ask(client, of("AAPL"))})
    first, last = date.fromisoformat(days[3]), date.fromisoformat(days[6])
    found = {a.action["process_date"] for a in ask(client, of("AAPL", start=first, end=last))}
    assert found == set(days[3:6])
    one_more = {a.action["process_date"] for a in ask(client, of("AAPL", start=first, end=last + timedelta(days=1)))}
    assert one_more == set(days[3:7])


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("rate_limit", "429"),
        ("server_error", "500"),
        ("gateway_timeout", "504"),
        ("html", "502"),
        ("half_body", "cut body"),
    ],
)
def test_what_passes_by_itself_is_asked_again(server: Server, client: AlpacaClient, kind: str, cause: str) -> None:
    server.arm(kind, match={"dataset": "corporate_actions"}, **({"seconds": 0.1} if kind == "rate_limit" else {}))
    traffic = Traffic()
    found = ask(client, of("AAPL"), traffic)
    assert {a.action["action_id"] for a in found} == expected("AAPL")
    assert traffic.retries == {cause: 1}
    assert (traffic.requests, traffic.pages) == (2, 1)


def test_a_server_that_stays_broken_is_given_up(server: Server, client: AlpacaClient) -> None:
    server.arm("server_error", times=50)
    with pytest.raises(AlpacaUnavailableError, match=r"corporate actions of AAPL .* in 4 attempts; last: HTTP 500"):
        ask(client, of("AAPL"))


def test_a_page_that_comes_again_is_passed_over_and_a_loop_is_given_up(
    server: Server, client: AlpacaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_platform.connectors.alpaca.corporate_actions.PAGE_ACTIONS", 10)
    server.arm("duplicated_page", times=1)
    traffic = Traffic()
    assert {a.action["action_id"] for a in ask(client, of("AAPL"), traffic)} == expected("AAPL")
    assert traffic.retries == {"repeated page": 1}
    server.arm("looping_token")
    with pytest.raises(AlpacaUnavailableError, match="leads back"):
        ask(client, of("AAPL"))


def test_a_caller_that_stops_is_heard(client: AlpacaClient) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        list(corporate_actions(client, of("AAPL"), Traffic(), stop))


def test_actions_need_a_key() -> None:
    settings = settings_for("https://data.alpaca.markets", apca_api_key_id=None, apca_api_secret_key=None)
    with AlpacaClient(settings) as client, pytest.raises(AlpacaConfigError, match="APCA_API_SECRET_KEY"):
        ask(client, of("AAPL"))


def test_what_alpaca_answered_comes_through_the_server_whole(recording_client: Any) -> None:
    arrays = json.loads(ANSWERS.read_text())[1]["body"]["corporate_actions"]
    symbols = ["MNTS", "SRE", "TPBAU", "MSBC", "FCF", "JUPW", "GLOP", "LSI", "MLVF", "ORPHY", "BSAQ", "ATNXQ", "IFN"]
    found = ask(recording_client(arrays), of(*symbols, start=date(2023, 1, 1)))
    wanted = [flatten(plural.removesuffix("s"), action) for plural, array in arrays.items() for action in array]
    assert sorted(a.action["action_id"] for a in found) == sorted(flat["action_id"] for flat in wanted)
    assert all(a.action in wanted for a in found)


def test_unknown_types_wrong_values_and_missing_ids_are_kept(recording_client: Any) -> None:
    day = {"process_date": "2020-08-31", "symbol": "AAPL"}
    wrong = [
        {**day, "rate": "a lot", "ex_date": "2020-08-31"},
        {**day, "rate": -1, "ex_date": "never"},
        {**day, "rate": 2**70},
    ]
    found = ask(recording_client({"tender_offers": [{**day, "price": 7}], "cash_dividends": wrong}), of("AAPL"))
    by_type = {a.action["action_type"] for a in found}
    assert by_type == {"tender_offer", "cash_dividend"}
    bodies = [json.loads(a.action["body"]) for a in found]
    assert len(bodies) == len({a.action["action_id"] for a in found}) == 4
    assert all(action in bodies for action in [*wrong, {**day, "price": 7}])
    assert "cash_dividend:AAPL:2020-08-31:a lot" in {a.action["action_id"] for a in found}


def test_an_action_of_two_asked_symbols_comes_once(recording_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_platform.connectors.alpaca.corporate_actions.LONGEST_GROUP", 1)
    merger = {"acquiree_symbol": "LSI", "acquirer_symbol": "EXR", "id": "m", "process_date": "2023-07-20"}
    found = ask(recording_client({"stock_mergers": [merger]}), of("EXR", "LSI"))
    assert [(a.action["symbol"], a.action["new_symbol"]) for a in found] == [("LSI", "EXR")]


@pytest.mark.parametrize(
    ("symbols", "start", "end"),
    [((), START, END), (("AAPL", "AAPL"), START, END), (("aapl",), START, END), (("AAPL",), END, END)],
)
def test_a_request_that_cannot_be_meant_is_refused(symbols: tuple, start: date, end: date) -> None:
    with pytest.raises(ValueError, match="us_equity"):
        of(*symbols, start=start, end=end)


def page(**arrays: Any) -> dict[str, Any]:
    return {"corporate_actions": arrays, "next_page_token": None}


def fresh() -> _Check:
    return _Check(frozenset({"AAPL"}), START, END)


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (page(forward_splits=[{"symbol": "NVDA"}]), "unasked symbol"),
        (page(cash_dividends=[{"symbol": "AAPL", "process_date": "2014-12-31"}]), "outside range"),
        (page(cash_dividends=[{"symbol": "AAPL", "process_date": "2025-01-01"}]), "outside range"),
        (page(cash_dividends=["AAPL"]), "bad page"),
        (page(cash_dividends={"AAPL": {}}), "bad page"),
        ({"corporate_actions": {}, "next_page_token": 7}, "repeated token"),
        ({"corporate_actions": {}}, "bad page"),
        ({"bars": {}, "next_page_token": None}, "bad page"),
        ([], "bad page"),
        (None, "bad page"),
    ],
)
def test_a_bad_page_says_why(bad: object, cause: str) -> None:
    with pytest.raises(TransientError) as fault:
        fresh()(bad)
    assert fault.value.cause == cause


@pytest.mark.parametrize(
    "action",
    [
        {"symbol": "AAPL", "process_date": "2015-01-01"},
        {"old_symbol": "FB", "new_symbol": "AAPL", "process_date": "2024-12-31"},
        {"symbol": "X", "stock_movements": [{"symbol": "AAPL"}], "process_date": "2024-12-31"},
        {"process_date": "2020-01-01"},
        {"symbol": "AAPL", "process_date": "soon"},
        {"symbol": "AAPL"},
    ],
)
def test_a_page_of_the_request_passes_whatever_else_it_says(action: dict) -> None:
    assert fresh()(page(any_things=[action])) == ({"any_things": [action]}, None)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["corporate_actions", "next_page_token", "symbol", "process_date", "stock_movements"])
                | st.text(max_size=5),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_other_json_passes_or_is_a_fault_to_try_again(anything: object) -> None:
    check = fresh()
    try:
        arrays, token = check(anything)
    except TransientError:
        return
    check.accept(arrays, token)
    assert all(isinstance(action, dict) for array in arrays.values() for action in array)
