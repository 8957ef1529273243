"""Corporate actions from the lake through Kafka and Spark into their ledger: versions, rejects, re-runs."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.connectors.alpaca.client import AlpacaClient
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.lake import Lake, LakeDay, Section
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.ledger_checks import actions_by_day, balance
from crypto_platform.failpoints import CrashPoint
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.corporate_actions import _day, _section, days_to_ask, extract_actions
from crypto_platform.ingestion.offsets import ConcurrentLoadError
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS, FIELDS, encode, flatten
from crypto_platform.sandbox.alpaca import launch
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.alpaca.conftest import settings_for
from crypto_platform_tests.factories import OBSERVED, feed_name

RECORDINGS = Path(__file__).parents[2] / "recordings"
SPLIT = {
    "id": "7f2a",
    "symbol": "AAPL",
    "cusip": "037833100",
    "old_rate": 1,
    "new_rate": 4,
    "process_date": "2020-08-31",
    "ex_date": "2020-08-31",
    "record_date": "2020-08-24",
    "payable_date": "2020-08-28",
}
DIVIDEND = {
    "symbol": "AAPL",
    "rate": 0.205,
    "special": False,
    "foreign": False,
    "ex_date": "2020-11-06",
    "process_date": "2020-11-12",
}


def load(
    settings: Settings,
    feed: str,
    actions: Iterable[tuple[str, Mapping[str, Any]] | bytes],
    observed_at: datetime = OBSERVED,
) -> topic_load.LoadReport:
    lines = [action if isinstance(action, bytes) else encode(flatten(*action)) for action in actions]
    day = LakeDay(feed, CORPORATE_ACTIONS.name, date(2020, 8, 31), {"AAPL": Section(observed_at, lines)}, "run")
    publish(settings, feed, [day], "run", dataset=CORPORATE_ACTIONS)
    return topic_load.load(settings, feed, "run", dataset=CORPORATE_ACTIONS)


def load_when_let(settings: Settings, feed: str) -> None:
    """Load once the transaction of a load that was killed lets go of the offsets."""
    while True:
        try:
            topic_load.load(settings, feed, "run", dataset=CORPORATE_ACTIONS)
        except ConcurrentLoadError:
            continue
        return


def ledger(settings: Settings, feed: str) -> list[dict[str, Any]]:
    columns = [f.column for f in FIELDS]
    with connect(settings) as connection:
        rows = connection.cursor().execute(
            f"SELECT {', '.join(columns)}, observed_at FROM {CORPORATE_ACTIONS.ledger(feed)} "
            "ORDER BY process_date, observed_at"
        )
        return [dict(zip([*columns, "observed_at"], row, strict=True)) for row in rows]


def test_actions_are_versions_in_a_ledger_and_a_rerun_adds_nothing(sandbox: Settings) -> None:
    feed = feed_name()
    report = load(sandbox, feed, [("forward_split", SPLIT), ("cash_dividend", DIVIDEND)])
    assert (report.loaded, report.unchanged, report.rejected) == (2, 0, 0)
    assert report.time_range == (date(2020, 8, 31), date(2020, 11, 12))
    assert report.by_day == {date(2020, 8, 31): {"AAPL": (1, 0)}, date(2020, 11, 12): {"AAPL": (1, 0)}}
    split, dividend = ledger(sandbox, feed)
    assert (split["action_id"], split["action_type"], split["symbol"]) == ("7f2a", "forward_split", "AAPL")
    assert (split["old_rate"], split["new_rate"], split["ex_date"]) == (1.0, 4.0, date(2020, 8, 31))
    assert (split["record_date"], split["payable_date"]) == (date(2020, 8, 24), date(2020, 8, 28))
    assert (dividend["action_id"], dividend["rate"], dividend["is_special"], dividend["cusip"]) == (
        "cash_dividend:AAPL:2020-11-06:0.205",
        0.205,
        False,
        None,
    )

    again = load(sandbox, feed, [("cash_dividend", DIVIDEND), ("forward_split", SPLIT)], OBSERVED + timedelta(days=1))
    assert (again.loaded, again.unchanged, again.rejected) == (0, 2, 0)
    assert ledger(sandbox, feed) == [split, dividend]

    # Amended: another rate, and Alpaca books it a day later.
    amended = SPLIT | {"new_rate": 5, "process_date": "2020-09-01"}
    third = load(sandbox, feed, [("forward_split", amended)], OBSERVED + timedelta(days=2))
    assert (third.loaded, third.unchanged) == (1, 0)
    versions = [row for row in ledger(sandbox, feed) if row["action_id"] == "7f2a"]
    assert [row["new_rate"] for row in versions] == [4.0, 5.0]
    with connect(sandbox) as connection:
        assert balance(connection, feed, CORPORATE_ACTIONS).lacking == 0
        held = actions_by_day(connection, feed, date(2020, 8, 31), date(2020, 9, 2))
    assert held == {date(2020, 8, 31): {"AAPL": 1}, date(2020, 9, 1): {"AAPL": 1}}


def test_what_cannot_be_is_rejected_with_a_reason_and_the_rest_goes_on(sandbox: Settings) -> None:
    feed = feed_name()
    bad = {
        "old_rate or new_rate is not a positive number": ("forward_split", SPLIT | {"id": "a", "new_rate": 0}),
        "rate is not a positive number": ("cash_dividend", DIVIDEND | {"id": "b", "rate": -1.0}),
        "unknown action_type": ("tender_offer", SPLIT | {"id": "c"}),
        "ex_date is missing or unreadable": ("forward_split", SPLIT | {"id": "d", "ex_date": "2020-08-31T00:00:00Z"}),
        "process_date is missing or unreadable": ("forward_split", SPLIT | {"id": "e", "process_date": None}),
        "symbol is not of a known form": ("forward_split", SPLIT | {"id": "f", "symbol": "BTC/USD"}),
        "unreadable": ("forward_split", SPLIT | {"id": "g", "new_rate": "four"}),
    }
    report = load(sandbox, feed, [*bad.values(), ("forward_split", SPLIT)])
    assert report.rejected_by_reason == dict.fromkeys(bad, 1)
    assert (report.loaded, [row["action_id"] for row in ledger(sandbox, feed)]) == (1, ["7f2a"])
    with connect(sandbox) as connection:
        rejected = connection.cursor().execute(
            f"SELECT count(*), count(raw_value) FROM {CORPORATE_ACTIONS.rejects} WHERE feed = %s", (feed,)
        )
        assert rejected.fetchall() == [(7, 7)]


KILLED = """
import sys
from crypto_platform.settings import Settings
from crypto_platform_tests.ingestion.test_corporate_actions import DIVIDEND, SPLIT, load
load(Settings(), sys.argv[1], [("forward_split", SPLIT), ("cash_dividend", DIVIDEND)])
"""


# Every point of the path is tried with bars (test_topic_load), these with actions too.
@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["during_publish", "after_parquet", "after_versions", "before_commit", "after_commit"]
)
def test_a_run_killed_anywhere_is_made_whole_by_the_next(sandbox: Settings, point: CrashPoint) -> None:
    actions = [("forward_split", SPLIT), ("cash_dividend", DIVIDEND)]
    undisturbed, feed = feed_name(), feed_name()
    load(sandbox, undisturbed, actions)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, feed],
        env={**os.environ, **sandbox.environment(), "CRASH_AT": point},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert killed.returncode == -signal.SIGKILL, f"{point} was never reached: {killed.stderr[-2000:]}"
    try:
        load(sandbox, feed, actions)
    except ConcurrentLoadError:
        load_when_let(sandbox, feed)
    assert ledger(sandbox, feed) == ledger(sandbox, undisturbed)
    with connect(sandbox) as connection:
        assert balance(connection, feed, CORPORATE_ACTIONS).held == 2


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        # Long ago: the days of the run.
        (date(2020, 1, 1), date(2020, 1, 3), (date(2020, 1, 1), date(2020, 1, 3))),
        # Yesterday: the thirty days before today, too.
        (date(2026, 3, 30), date(2026, 3, 30), (date(2026, 3, 1), date(2026, 3, 30))),
        # Never before the feed's start.
        (date(2026, 3, 1), date(2026, 3, 30), (date(2026, 3, 1), date(2026, 3, 30))),
        (date(2019, 12, 1), date(2026, 3, 30), (date(2019, 12, 1), date(2026, 3, 30))),
    ],
)
def test_recent_process_dates_are_asked_for_again(first: date, last: date, expected: tuple[date, date]) -> None:
    run = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    asked = days_to_ask(run, date(2019, 12, 1), date(2026, 3, 31))
    assert (asked[0], asked[-1], len(asked)) == (*expected, (expected[1] - expected[0]).days + 1)
    assert days_to_ask([], date(2019, 12, 1), datetime.now(UTC).date()) == []


def test_no_day_before_the_feed_s_start_is_asked_for() -> None:
    assert days_to_ask([date(2026, 3, 30)], date(2026, 3, 20), date(2026, 3, 31))[0] == date(2026, 3, 20)


@pytest.mark.slow
def test_the_lake_holds_every_action_of_the_recordings_once(tmp_path: Path) -> None:
    """Against the recording read with nothing of ours; a second time the lake is the same."""
    recorded = json.loads((RECORDINGS / "AAPL_corporate-actions.json").read_text())["corporate_actions"]
    expected = Counter(action["process_date"] for actions in recorded.values() for action in actions)
    days = [date(2012, 1, 1) + timedelta(days=n) for n in range(10 * 366)]
    lake = Lake(str(tmp_path))
    with launch.running(RECORDINGS, False) as url, AlpacaClient(settings_for(url)) as client:
        reports = []
        for _ in range(2):
            reports.append(extract_actions(client, lake, "us_equity", ("AAPL", "NVDA"), days, "run"))
            stored = {day: lake.read_day("us_equity", CORPORATE_ACTIONS.name, day).sections for day in days}
            assert [list(sections) for sections in stored.values()] == [["AAPL", "NVDA"]] * len(days)
            lines = [line for sections in stored.values() for section in sections.values() for line in section.lines]
            found = Counter(json.loads(line)["process_date"] for line in lines)
            assert found == {day: count for day, count in expected.items() if day >= "2012-01-01"}
    assert reports[0].days == reports[1].days
    assert reports[0].actions == found.total() == 37


def test_an_action_without_a_day_or_a_symbol_of_a_stock_is_kept_for_the_load_to_reject() -> None:
    days = [date(2020, 8, 30), date(2020, 8, 31)]
    assert _day(flatten("forward_split", SPLIT | {"process_date": "soon"}), days) == days[-1]
    assert _day(flatten("forward_split", SPLIT), days) == days[-1]
    assert _section(flatten("name_change", {"old_symbol": "ABC/WS"}), ("AAPL", "NVDA")) == "AAPL"
    assert _section(flatten("name_change", {"old_symbol": "FB"}), ("META",)) == "FB"
