"""The checks' verdicts on a ledger of their own, with one thing wrong at a time."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from snowflake.connector import SnowflakeConnection

from crypto_platform.connectors.alpaca.contract import Drift
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.schema import LOADS, ensure_schema
from crypto_platform.ingestion.extract import ExtractReport
from crypto_platform.ingestion.topic_load import LoadReport
from crypto_platform.market.bars import BARS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.symbol_history import Periods
from crypto_platform.orchestration.checks import stages
from crypto_platform.orchestration.checks.stages import Subject
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 20)
KEY = dg.AssetKey(["raw", "made_bars"])
SPEC = FeedSpec(asset_class="crypto", symbols=("BTC/USD",), timeframe="1Hour", start_date="2026-01-01")
NOON = f"{LAST} 12:00"
NAMES = [check.name for check in stages.RAW]


@pytest.fixture(scope="module")
def connection(sandbox: Settings) -> Iterator[SnowflakeConnection]:
    with connect(sandbox) as opened:
        yield opened


@pytest.fixture
def feed(connection: SnowflakeConnection) -> Iterator[str]:
    """A feed with twenty days of hourly bars that move by a per cent or so."""
    name = factories.feed_name()
    ensure_schema(connection, name)
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            f"INSERT INTO {BARS.ledger(name)} SELECT 'BTC/USD', '1Hour', dateadd('hour', n, '{FIRST}'::timestamp_ntz), "
            "price, price * 1.01, price * 0.99, price * 1.005, 10 + mod(n, 7), 5, price, 'rest', "
            "'2026-04-01'::timestamp_ntz, 'topic', 0, n, 'load', '2026-04-01'::timestamp_ntz "
            "FROM (SELECT n, 100 + mod(n * 37, 11) / 5 AS price "
            f"FROM (SELECT row_number() OVER (ORDER BY seq4()) - 1 AS n FROM table(generator(rowcount => {20 * 24}))))"
        )
    yield name
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"DROP TABLE {BARS.ledger(name)}")


def change(connection: SnowflakeConnection, feed: str, what: str, at: str = NOON) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"UPDATE {BARS.ledger(feed)} SET {what} WHERE bar_start = '{at}'")


def subject(feed: str) -> Subject:
    return Subject(KEY, feed, SPEC, [LAST - timedelta(days=1), LAST])


def of_load(
    connection: SnowflakeConnection, feed: str, lake: Lake, report: LoadReport | None = None
) -> dict[str, dg.AssetCheckResult]:
    proof = stages.of_load(subject(feed), connection, lake, report or LoadReport("topic", None))
    return {str(result.check_name): result for result in proof.results}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def failed(results: dict[str, dg.AssetCheckResult]) -> list[str]:
    return [name for name, result in results.items() if not result.passed]


def test_a_good_ledger_passes_every_check(connection: SnowflakeConnection, feed: str, lake: Lake) -> None:
    results = of_load(connection, feed, lake)
    assert sorted(results) == sorted(NAMES)
    assert failed(results) == []
    assert {result.metadata["days"].value for result in results.values()} == {"2026-03-19 to 2026-03-20"}


@pytest.mark.parametrize(
    ("what", "check", "severity", "words"),
    [
        ("close = 1000, high = 1000", "price_outliers", "WARN", "BTC/USD on 2026-03-20: prices from"),
        ("close = high * 2", "ohlc_consistency", "WARN", "1 bars have an open, close or vwap outside"),
        ("vwap = low / 2", "ohlc_consistency", "WARN", "first on 2026-03-20 for BTC/USD"),
        ("volume = 1e9", "volume_outliers", "WARN", "times the median of the 19 days before"),
        (
            "bar_start = dateadd('second', 7, bar_start)",
            "timeframe_alignment",
            "ERROR",
            "1 versions start off the grid",
        ),
    ],
)
def test_one_bar_that_is_wrong_fails_its_check_and_is_shown(
    connection: SnowflakeConnection, feed: str, lake: Lake, what: str, check: str, severity: str, words: str
) -> None:
    change(connection, feed, what)
    results = of_load(connection, feed, lake)
    assert failed(results) == [check]
    result = results[check]
    assert result.severity.value == severity
    assert words in str(result.description)
    assert result.metadata["remediation"].value == (
        f"crypto-platform materialize --feed {feed} --from {LAST} --to 2026-03-21"
        if severity == "WARN"
        else f"crypto-platform materialize --feed {feed} --from 2026-03-19 --to 2026-03-21"
    )
    shown = [v for v in result.metadata.values() if isinstance(v, dg.TableMetadataValue)]
    assert shown
    assert any(LAST.isoformat() in str(record.data) for record in shown[-1].records)


def test_a_corrected_bar_is_wrong_no_more(connection: SnowflakeConnection, feed: str, lake: Lake) -> None:
    change(connection, feed, "close = 1000, high = 1000, volume = 1e9")
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            f"INSERT INTO {BARS.ledger(feed)} SELECT * REPLACE (100 AS close, 101 AS high, 10 AS volume, 9999 AS "
            f"kafka_offset, '2026-04-02'::timestamp_ntz AS observed_at) FROM {BARS.ledger(feed)} "
            f"WHERE bar_start = '{NOON}'"
        )
    assert failed(of_load(connection, feed, lake)) == []


def test_a_shifted_level_is_told_without_bars(connection: SnowflakeConnection, feed: str, lake: Lake) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            f"UPDATE {BARS.ledger(feed)} SET open = open / 4, high = high / 4, low = low / 4, close = close / 4, "
            f"vwap = vwap / 4 WHERE bar_start >= '{LAST}'"
        )
    results = of_load(connection, feed, lake)
    assert failed(results) == ["price_outliers"]
    assert "0.25 times that of the day before" in str(results["price_outliers"].description)


def test_a_split_that_is_known_is_no_outlier(connection: SnowflakeConnection, feed: str, lake: Lake) -> None:
    ensure_schema(connection, feed, CORPORATE_ACTIONS)
    stocks = replace(subject(feed), spec=SPEC.model_copy(update={"asset_class": "us_equity"}))
    ledger = CORPORATE_ACTIONS.ledger(feed)
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            f"UPDATE {BARS.ledger(feed)} SET open = open / 4, high = high / 4, low = low / 4, close = close / 4, "
            f"vwap = vwap / 4, volume = volume * 4 WHERE bar_start >= '{LAST}'"
        )
        # As it was served first, and amended.
        for number, new_rate in enumerate((3, 4), 1):
            cursor.execute(
                f"INSERT INTO {ledger} (action_id, action_type, symbol, process_date, ex_date, old_rate, new_rate, "
                "body, source, observed_at, kafka_topic, kafka_partition, kafka_offset, load_id, loaded_at) "
                f"SELECT '1', 'forward_split', 'BTC/USD', '{LAST}', '{LAST}', 1, {new_rate}, '{{}}', 'rest', "
                f"'2026-04-0{number}'::timestamp_ntz, 'topic', 0, {number}, 'load', SYSDATE()"
            )
    try:
        known = stages.of_load(stocks, connection, lake, LoadReport("topic", None))
        # Where Alpaca has adjusted the prices, they do not jump.
        adjusted = replace(stocks, spec=stocks.spec.model_copy(update={"adjustment": "all"}))
        not_asked = stages.of_load(adjusted, connection, lake, LoadReport("topic", None))
    finally:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"DROP TABLE {ledger}")
    assert failed({str(result.check_name): result for result in known.results}) == []
    assert failed({str(result.check_name): result for result in not_asked.results}) == ["price_outliers"]


def test_what_the_lake_has_and_the_ledger_lacks_is_named(
    connection: SnowflakeConnection, feed: str, lake: Lake
) -> None:
    lines = [factories.line("BTC/USD", factories.bar(n), "1Hour") for n in range(25)]
    lake.write_day(feed, "1Hour", LAST, {"BTC/USD": Section(datetime(2026, 4, 1, tzinfo=UTC), lines)}, "run")
    results = of_load(connection, feed, lake)
    assert failed(results) == ["ledger_completeness"]
    (record,) = results["ledger_completeness"].metadata["missing_by_day"].records  # type: ignore[union-attr]
    assert record.data == {"day and symbol": f"{LAST} BTC/USD", "bars": 1}


def loads(connection: SnowflakeConnection, feed: str, *loaded: int) -> None:
    with closing(connection.cursor()) as cursor:
        for number, versions in enumerate(loaded):
            cursor.execute(
                f"INSERT INTO {LOADS} SELECT '{feed}_{number}', '{feed}', '{BARS.topic(feed)}', 'id', 'run', '{{}}', "
                f"'{{}}', 0, {versions}, 0, 0, 0, NULL, 'market', SYSDATE(), SYSDATE()"
            )


@pytest.mark.parametrize("loaded", [(480,), (500, 30, -50), ()])
def test_a_ledger_as_long_as_its_loads_is_whole(
    connection: SnowflakeConnection, feed: str, lake: Lake, loaded: tuple[int, ...]
) -> None:
    loads(connection, feed, *loaded)
    assert failed(of_load(connection, feed, lake)) == []


@pytest.mark.parametrize(
    ("statement", "held", "gone"),
    [("DELETE FROM {} WHERE bar_start < '2026-03-03'", "432", "48"), ("DROP TABLE {}", "0", "480")],
)
def test_what_was_loaded_and_is_gone_is_counted(
    connection: SnowflakeConnection, feed: str, lake: Lake, statement: str, held: str, gone: str
) -> None:
    loads(connection, feed, 400, 80)
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement.format(BARS.ledger(feed)))
    # As every load does first.
    ensure_schema(connection, feed)
    results = of_load(connection, feed, lake)
    # None of the run's own days is concerned.
    assert failed(results) == ["row_count_reconciliation"]
    found = results["row_count_reconciliation"]
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert f"holds {held} versions where its loads put 480: {gone} are gone" in str(found.description)
    assert "UNDROP TABLE" in str(found.description)
    assert found.metadata["remediation"].value == f"crypto-platform republish --feed {feed}"


def test_refused_messages_are_told_with_their_reasons(connection: SnowflakeConnection, feed: str, lake: Lake) -> None:
    report = LoadReport("topic", "L1", messages=3, loaded=1, rejected=2, rejected_by_reason={"high is below low": 2})
    results = of_load(connection, feed, lake, report)
    assert failed(results) == ["no_rejected_messages"]
    found = results["no_rejected_messages"]
    assert found.description == "2 messages were rejected: high is below low (2)"
    statement = str(found.metadata["remediation"].value).split('"')[1]
    with closing(connection.cursor()) as cursor:
        assert cursor.execute(statement).fetchall() == []  # type: ignore[union-attr]


def answer(drift: Drift | None = None, bars: int = 24) -> dict[str, dg.AssetCheckResult]:
    days: dict[date, dict[str, int]] = {LAST - timedelta(days=1): {"BTC/USD": 24}, LAST: {"BTC/USD": bars}}
    until = datetime(2026, 3, 21, tzinfo=UTC)
    figures: dict[str, Any] = {"pages": 1, "requests": 1, "retries": {}, "seconds": 1.0, "seconds_throttled": 0.0}
    report = ExtractReport("crypto", "recorded", days, until, **figures, drift=drift or Drift())
    return {str(r.check_name): r for r in stages.of_answer(subject("crypto"), report)}


def test_an_answer_as_agreed_and_complete_passes() -> None:
    assert failed(answer()) == []


def test_a_missing_bar_is_told_with_its_day_and_the_command_for_it() -> None:
    found = answer(bars=23)["day_completeness"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 bars fewer than the calendar expects: BTC/USD on 2026-03-20 (23 of 24)"
    assert found.metadata["remediation"].value == (
        "crypto-platform materialize --feed crypto --from 2026-03-20 --to 2026-03-21"
    )


def test_a_ticker_that_is_not_in_use_lacks_no_bar() -> None:
    spec = FeedSpec(asset_class="us_equity", symbols=("FB", "META"), timeframe="1Day", start_date="2026-01-01")
    about = Subject(KEY, "made", spec, [LAST - timedelta(days=1), LAST])
    days = {day: {"FB": int(day < LAST), "META": int(day == LAST)} for day in about.days}
    figures: dict[str, Any] = {"pages": 1, "requests": 1, "retries": {}, "seconds": 1.0, "seconds_throttled": 0.0}
    report = ExtractReport("made", "recorded", days, datetime(2026, 3, 21, 4, tzinfo=UTC), **figures, drift=Drift())
    periods: Periods = {"FB": [(None, LAST)], "META": [(LAST, None)]}
    assert failed({str(r.check_name): r for r in stages.of_answer(about, report, periods=lambda: periods)}) == []
    (_, found) = stages.of_answer(about, report)
    assert "META on 2026-03-19 (0 of 1), FB on 2026-03-20 (0 of 1)" in str(found.description)


@pytest.mark.parametrize(
    ("drift", "severity"),
    [(Drift(unknown={"x": 24}), "WARN"), (Drift(missing={"o": 24}, gone=("o",)), "ERROR")],
)
def test_drift_stops_the_run_only_when_a_required_field_is_gone(drift: Drift, severity: str) -> None:
    """A blocking check stops a run by severity ERROR alone."""
    found = answer(drift)["schema_contract"]
    assert (found.passed, found.severity.value) == (False, severity)
    assert next(c for c in stages.ALPACA if c.name == "schema_contract").blocking
