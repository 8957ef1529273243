"""/v1/corporate-actions: recorded and simulated, as Alpaca's specification says and as its answers look."""

import gzip
import json
import time
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import requests
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.sandbox.alpaca import running
from crypto_platform.sandbox.alpaca.corporate_actions import RecordedActions, page, parse
from crypto_platform.sandbox.alpaca.sessions import today
from crypto_platform.sandbox.alpaca.simulated import Simulated
from crypto_platform.sandbox.alpaca.timeframes import ONE_DAY, Timeframe
from crypto_platform_tests.connectors.alpaca.conftest import Server
from crypto_platform_tests.sandbox.alpaca.test_rest import FIXTURES, get, specification

ACTIONS = "/v1/corporate-actions"
ANSWERS = [answer["body"] for answer in json.loads((FIXTURES / "rest-corporate-actions.json").read_text())]
NOW = time.time_ns()


def written(folder: Path, answer: object, name: str = "made_corporate-actions.json") -> Path:
    content = json.dumps(answer).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def asked(source: Any, **parameters: str) -> list[dict]:
    """The actions of all pages, in the order of the answers."""
    found: list[dict] = []
    while True:
        answer = page(source, parse(parameters, NOW))
        found += [action.body for action in answer.actions]
        if answer.next is None:
            return found
        assert answer.next.token() != parameters.get("page_token"), "the page leads to itself"
        parameters["page_token"] = answer.next.token()


# From 2020-01-01 on; a few on one day, so that pages end within a day.
days = st.integers(0, 6).map(lambda n: str(date(2020, 1, 1) + timedelta(days=n)))
made = st.fixed_dictionaries(
    {"symbol": st.sampled_from(["AAPL", "NVDA", "SPY"]), "process_date": days, "rate": st.integers(1, 3)}
)


@settings(max_examples=60, deadline=None)
@given(
    arrays=st.dictionaries(st.sampled_from(["cash_dividends", "stock_dividends", "mysteries"]), st.lists(made)),
    symbols=st.sets(st.sampled_from(["AAPL", "NVDA", "SPY"])),
    types=st.sets(st.sampled_from(["cash_dividend", "stock_dividend"])),
    ends=st.tuples(days, days).map(sorted),
    limit=st.integers(1, 5),
    descending=st.booleans(),
)
def test_the_pages_together_are_what_was_asked_for(arrays, symbols, types, ends, limit, descending) -> None:
    with TemporaryDirectory() as folder:
        source = RecordedActions(written(Path(folder), {"corporate_actions": arrays}))
    got = asked(
        source,
        symbols=",".join(symbols),
        types=",".join(types),
        start=ends[0],
        end=ends[1],
        limit=str(limit),
        sort="desc" if descending else "asc",
    )
    wanted = {
        (plural, tuple(sorted(action.items())))
        for plural, array in arrays.items()
        for action in array
        if (not symbols or action["symbol"] in symbols)
        and (not types or plural.removesuffix("s") in types)
        and ends[0] <= action["process_date"] <= ends[1]
    }
    assert len(got) == len(wanted), "none twice, none lost"
    assert {tuple(sorted(action.items())) for action in got} == {action for _, action in wanted}
    dates = [action["process_date"] for action in got]
    assert dates == sorted(dates, reverse=descending)


@pytest.mark.parametrize("answer", ANSWERS[:2], ids=["go", "py"])
def test_recorded_answers_are_served_as_they_are(answer: dict, tmp_path: Path) -> None:
    source = RecordedActions(written(tmp_path, answer, "theirs_corporate-actions_2023.json.gz"))
    assert source.problems == []
    query = parse({"start": "2020-01-01", "end": "2026-01-01"}, NOW)
    served = json.loads(page(source, query).json())
    assert served["next_page_token"] is None
    assert served["corporate_actions"].keys() == answer["corporate_actions"].keys()
    for plural, array in served["corporate_actions"].items():
        theirs = answer["corporate_actions"][plural]
        assert sorted(array, key=json.dumps) == sorted(theirs, key=json.dumps)


def test_an_action_is_found_by_each_of_its_symbols_cusips_and_its_id(tmp_path: Path) -> None:
    source = RecordedActions(written(tmp_path, ANSWERS[1]))
    merger = ANSWERS[1]["corporate_actions"]["stock_mergers"][0]
    always = {"start": "2020-01-01", "end": "2026-01-01"}
    assert asked(source, symbols="LSI", **always) == asked(source, symbols="EXR", **always) == [merger]
    assert asked(source, cusips="ACQUIRERCUSIP1", types="stock_merger", **always) == [merger]
    assert asked(source, ids=merger["id"]) == [merger]
    assert asked(source, symbols="LSI") == [], "the default is today"
    assert asked(source, symbols="LSI", region="non_us", **always) == []


def test_what_cannot_be_read_is_named_and_the_rest_is_served(tmp_path: Path) -> None:
    good = {"symbol": "AAPL", "process_date": "2020-08-31", "new_rate": 4, "old_rate": 1}
    written(tmp_path, {"corporate_actions": {"forward_splits": [good, {"symbol": "X"}, 7], "spin_offs": 5}})
    (tmp_path / "broken-corporate-actions.json").write_text('{"corporate_actions": {')
    (tmp_path / "cut-corporate-actions.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    written(tmp_path, ["no object"], "list_corporate-actions.json")
    (tmp_path / "corporate.json").write_text("not asked for")
    source = RecordedActions(tmp_path)
    assert asked(source, start="2000-01-01") == [good]
    told = "\n".join(source.problems)
    assert len(source.problems) == 6
    for words in (
        "broken-corporate-actions.json: left out, not readable as JSON",
        "cut-corporate-actions.json.gz: left out, not readable as JSON",
        "list_corporate-actions.json: left out, it has no object `corporate_actions`",
        "made_corporate-actions.json: forward_splits[1] left out, it has no process_date",
        "made_corporate-actions.json: forward_splits[2] left out",
        "made_corporate-actions.json: spin_offs left out, it is no array",
    ):
        assert words in told


def test_an_action_of_two_files_is_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, ANSWERS[2], f"{name}_corporate-actions.json")
    assert len(asked(RecordedActions(tmp_path), start="2024-08-26", end="2024-08-26")) == 1


@pytest.mark.sandbox
def test_a_server_with_a_bad_file_starts_and_shows_it(tmp_path: Path) -> None:
    (tmp_path / "AAPL_1Day.csv").write_text(
        "symbol,timestamp,open,high,low,close,volume\nAAPL,2020-08-28T04:00:00Z,1,1,1,1,1\n"
    )
    (tmp_path / "bad_corporate-actions.json").write_text("{")
    with running(tmp_path) as url:
        assert "bad_corporate-actions.json: left out" in requests.get(url, timeout=10).text
        assert get(url, ACTIONS, symbols="AAPL").json() == {"corporate_actions": {}, "next_page_token": None}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"symbols": "AAPL,CSP1"}, "invalid symbol: CSP1"),
        ({"types": "cash_dividend,party"}, "invalid types: party"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "end should not be before start"),
        ({"start": "2026-03-02T00:00:00Z"}, "invalid start: 2026-03-02T00:00:00Z"),
        ({"end": "2026-02-30"}, "invalid end: 2026-02-30"),
        ({"limit": "1001"}, "invalid limit: 1001: it should be between 1 and 1000"),
        ({"limit": "0"}, "invalid limit: 0: it should be between 1 and 1000"),
        ({"sort": "up"}, "invalid sort: up"),
        ({"region": "mars"}, "invalid region: mars"),
        ({"page_token": "nonsense"}, "invalid page_token: nonsense"),
        ({"ids": "x", "symbols": "AAPL"}, "ids is mutually exclusive with symbols, cusips, types, start, end"),
        ({"ids": "x", "start": "2026-01-01"}, "ids is mutually exclusive with symbols, cusips, types, start, end"),
    ],
)
def test_a_wrong_parameter_is_refused_in_alpacas_words(recorded_url: str, parameters: dict, message: str) -> None:
    answer = get(recorded_url, ACTIONS, **parameters)
    assert (answer.status_code, answer.json()) == (400, {"message": message})
    assert "X-RateLimit-Remaining" in answer.headers


@pytest.mark.sandbox
def test_keys_and_the_rate_limit_are_those_of_bars() -> None:
    with running(None, True, "--rate-limit", "1", "--key-id", "a", "--secret", "b") as url:
        keys = {"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"}
        assert requests.get(url + ACTIONS, timeout=10).status_code == 401
        assert get(url, ACTIONS).status_code == 403
        # However the minute turns, two of three fall into one.
        answers = [requests.get(f"{url}{ACTIONS}?limit=0", headers=keys, timeout=10) for _ in range(3)]
        limited = [answer.json() for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 400
        assert limited
        assert limited[0] == {"message": "too many requests."}


def test_an_unchanged_alpaca_py_reads_the_shipped_actions(recorded_url: str) -> None:
    client = CorporateActionsClient("key", "secret", raw_data=True, url_override=recorded_url)
    request = CorporateActionsRequest(symbols=["AAPL"], start=date(1998, 1, 1), end=date(2021, 12, 31))
    found = client.get_corporate_actions(request)
    assert {plural: len(array) for plural, array in found.items()} == {"forward_splits": 4, "cash_dividends": 35}


def test_simulated_answers_keep_the_specification(simulated_url: str) -> None:
    answer = get(simulated_url, ACTIONS, symbols="AAPL,NVDA", start="2000-01-01", end="2026-01-01", limit=1000)
    found = answer.json()["corporate_actions"]
    assert set(found) == {"forward_splits", "reverse_splits", "cash_dividends"}
    specification[ACTIONS]["GET"].validate_response(answer)
    some = [array[-1] for array in found.values()]
    again = get(simulated_url, ACTIONS, ids=",".join(action["id"] for action in some)).json()["corporate_actions"]
    assert sorted(map(str, (a for array in again.values() for a in array))) == sorted(map(str, some))
    assert get(simulated_url, ACTIONS, ids="x,00000000-0000-0000-0000-000000000000").json()["corporate_actions"] == {}


def test_a_page_of_actions_can_fail_as_one_of_bars_can(server: Server) -> None:
    asked_for = {"symbols": "AAPL", "start": "1998-01-01", "limit": 10}
    whole = get(server.url, ACTIONS, **asked_for)
    server.arm("server_error", match={"dataset": "corporate_actions"})
    bars = {"symbols": "AAPL", "timeframe": "1Day", "start": "2026-03-02", "end": "2026-03-03"}
    assert get(server.url, "/v2/stocks/bars", **bars).status_code == 200
    assert get(server.url, ACTIONS, **asked_for).status_code == 500
    server.arm("rate_limit", match={"symbol": "AAPL"})
    assert get(server.url, ACTIONS, **asked_for).status_code == 429
    server.arm("duplicated_page")
    again = get(server.url, ACTIONS, **asked_for).json()
    second = get(server.url, ACTIONS, **asked_for, page_token=again["next_page_token"]).json()
    assert second == whole.json()
    server.arm("empty", match={"symbol": "AAPL", "end": "2012-01-01T00:00:00Z"})
    late = get(server.url, ACTIONS, **asked_for | {"limit": 1000}).json()["corporate_actions"]
    assert [split["ex_date"] for split in late["forward_splits"]] == ["2014-06-09", "2020-08-31"]
    assert server.fired() == 4


def ns(day: str) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


@pytest.mark.parametrize("symbol", ["AAPL", "KO", "BRK.B"])
def test_simulated_bars_split_and_pay_on_the_day(symbol: str) -> None:
    """Across an ex-date raw closes move by the factor besides what the market does, in every timeframe alike."""
    source = Simulated()
    actions = source.corporate_actions.between((symbol,), date(2015, 1, 1), date(2024, 12, 31))
    splits = [action.body for action in actions if action.plural != "cash_dividends"]
    dividends = [action.body for action in actions if action.plural == "cash_dividends"]
    assert len(splits) >= 1
    assert len(dividends) == 40
    for action in [*splits, *dividends[-2:]]:
        ex = ns(action["ex_date"])
        for name in ("1Min", "15Min", "1Day"):
            timeframe = Timeframe.parse(name)
            before = source.bars(symbol, "us_equity", timeframe, 0, ex + 4 * 3600 * 10**9 - 1, 1, descending=True)
            after = source.bars(symbol, "us_equity", timeframe, ex + 4 * 3600 * 10**9, 2**62, 1)
            close, opened = float(before.columns["c"][0]), float(after.columns["o"][0])
            if "new_rate" in action:
                expected = action["old_rate"] / action["new_rate"]
                volumes = float(after.columns["v"][0] / before.columns["v"][0])
                if name == "1Day":
                    assert volumes * expected == pytest.approx(1, rel=0.5)
            else:
                expected = 1 - action["rate"] / close
            assert opened / close == pytest.approx(expected, rel=0.03)
    day = source.bars(symbol, "us_equity", ONE_DAY, ns(dividends[-1]["ex_date"]) - 5 * 86400 * 10**9, 2**62, 1)
    assert dividends[-1]["rate"] < 0.01 * float(day.columns["c"][0])


def test_simulated_actions_are_of_the_seed_and_of_the_past() -> None:
    one, same, other = Simulated(), Simulated(), Simulated(seed=1)
    always = (date.min, date.max)
    texts = [[a.text for a in s.corporate_actions.between(("KO",), *always)] for s in (one, same, other)]
    assert texts[0] == texts[1] != texts[2]
    newest = max(a.body["ex_date"] for a in one.corporate_actions.between(("KO",), *always))
    assert newest <= str(today(time.time_ns(), "us_equity"))
    assert one.corporate_actions.between(("FAKEPACA",), *always) == []
