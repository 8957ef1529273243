"""Every message becomes a typed row or a rejected one; none is lost, none stops the rest."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from crypto_platform.connectors.kafka.admin import client_config, ensure_topic, topic_state
from crypto_platform.connectors.kafka.producer import message_headers
from crypto_platform.ingestion.stage import Span, StageError, committed_files, stage_messages
from crypto_platform.market import bars
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox

GOOD = factories.bar(3)
HEADERS = dict(message_headers("rest", "run", factories.OBSERVED))
SYMBOL = "BTC/USD"


def changed(**fields: Any) -> bytes:
    return factories.line(SYMBOL, GOOD | fields)


def without(name: str) -> bytes:
    return factories.line(SYMBOL, {k: v for k, v in GOOD.items() if k != name})


def raw(text: str) -> bytes:
    """The good bar's line with `{t}` of `text` in place of its open's value."""
    return changed(o=424242).replace(b"424242", text.encode())


def daily(symbol: str, start: str, **fields: Any) -> bytes:
    return factories.line(symbol, GOOD | {"t": start} | fields, "1Day")


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")


UNREADABLE = "unreadable"
NOT_POSITIVE = "a price is not a positive number"
BAD_VOLUME = "volume is not a number from zero up"
OPEN_OUTSIDE, CLOSE_OUTSIDE, VWAP_OUTSIDE = (f"{p} is outside of low and high" for p in ("open", "close", "vwap"))
BAD_SYMBOL = "symbol is not of a known form"
BAD_TIME = "bar_start is missing or unreadable"
OFF_GRID = "bar_start is not on the timeframe's grid"

POISON: dict[str, tuple[bytes | None, str]] = {
    "null value": (None, UNREADABLE),
    "empty": (b"", UNREADABLE),
    "white space": (b"  \n", UNREADABLE),
    "not json": (b"hello", UNREADABLE),
    "binary": (b"\x00\xff\xfe\x80PAR1", UNREADABLE),
    "half a bar": (changed()[:-9], UNREADABLE),
    "array": (b"[1,2]", UNREADABLE),
    "array of bars": (b"[" + changed() + b"," + changed() + b"]", UNREADABLE),
    "array of one bar": (b"[" + changed() + b"]", UNREADABLE),
    "two bars": (changed() + changed(), UNREADABLE),
    "a bar and rubbish": (changed() + b" rubbish", UNREADABLE),
    "two bars, comma": (changed() + b"," + changed(), UNREADABLE),
    "two bars, bracket": (changed() + b"],[" + changed(), UNREADABLE),
    "two bars, disguised": (changed() + b',"end":1}{"bar":' + changed(), UNREADABLE),
    "number": (b"17", UNREADABLE),
    "string": (b'"bar"', UNREADABLE),
    "null": (b"null", UNREADABLE),
    "empty object": (b"{}", "symbol is missing or unreadable"),
    "text price": (changed(o="abc"), UNREADABLE),
    "quoted price": (changed(o="1.5"), UNREADABLE),
    "true price": (changed(o=True), UNREADABLE),
    "nested price": (changed(o={"a": [1]}), UNREADABLE),
    "null price": (changed(o=None), "open is missing or unreadable"),
    "missing price": (without("c"), "close is missing or unreadable"),
    "missing volume": (without("v"), "volume is missing or unreadable"),
    "NaN": (raw("NaN"), UNREADABLE),
    "quoted NaN": (raw('"NaN"'), UNREADABLE),
    "Infinity": (raw("Infinity"), UNREADABLE),
    "beyond a double": (raw("1e999"), NOT_POSITIVE),
    "400 digits": (raw("9" * 400), NOT_POSITIVE),
    "5000 digits": (raw("9" * 5000), UNREADABLE),
    "zero price": (changed(l=0), NOT_POSITIVE),
    "negative price": (changed(l=-1.5), NOT_POSITIVE),
    "high below low": (changed(h=1, l=2), "high is below low"),
    "negative volume": (changed(v=-1), BAD_VOLUME),
    "negative count": (changed(n=-1), "trade_count is negative"),
    "broken count": (changed(n=1.5), UNREADABLE),
    "huge count": (changed(n=77777).replace(b"77777", b"9" * 30), UNREADABLE),
    "text count": (changed(n="many"), UNREADABLE),
    "open above high": (changed(o=GOOD["h"] + 0.1), OPEN_OUTSIDE),
    "open below low": (changed(o=GOOD["l"] - 0.1), OPEN_OUTSIDE),
    "open and close above high": (changed(o=104.5, h=104, l=104, c=104.4, vw=104.2), OPEN_OUTSIDE),
    "close above high": (changed(c=GOOD["h"] + 0.1), CLOSE_OUTSIDE),
    "more than rounding": (changed(c=GOOD["h"] * (1 + 2 * bars.TOLERANCE)), CLOSE_OUTSIDE),
    "vwap above high": (changed(vw=300), VWAP_OUTSIDE),
    "vwap below low": (changed(vw=1), VWAP_OUTSIDE),
    "vwap of 0 beside a volume": (changed(v=1, vw=0), VWAP_OUTSIDE),
    "vwap above high of a coin's day": (daily(SYMBOL, "2026-01-02T00:00:00Z", vw=300), VWAP_OUTSIDE),
    "negative vwap": (changed(vw=-1), "vwap is not a number from zero up"),
    "text vwap": (changed(vw="x"), UNREADABLE),
    "off the grid": (changed(t="2026-01-02T00:03:30Z"), OFF_GRID),
    "a fraction off": (changed(t="2026-01-02T00:03:00.000001Z"), OFF_GRID),
    "tomorrow": (changed(t=tomorrow()), "bar_start is in the future"),
    "year 9999": (changed(t="9999-12-31T00:00:00Z"), "bar_start is in the future"),
    "date only": (changed(t="2026-01-02"), BAD_TIME),
    "no zone": (changed(t="2026-01-02T00:03:00"), BAD_TIME),
    "30 February": (changed(t="2026-02-30T00:00:00Z"), BAD_TIME),
    "hour 25": (changed(t="2026-01-02T25:00:00Z"), BAD_TIME),
    "epoch": (changed(t=1767312000), BAD_TIME),
    "empty time": (changed(t=""), BAD_TIME),
    "no symbol": (b"{" + changed().split(b",", 1)[1], "symbol is missing or unreadable"),
    "injected symbol": (factories.line("'; drop table x; --", GOOD), BAD_SYMBOL),
    "path symbol": (factories.line("../../etc", GOOD), BAD_SYMBOL),
    "symbol with a line feed": (factories.line("BTC/USD\n", GOOD), BAD_SYMBOL),
    "symbol with any character for a dot": (factories.line("BRK/B", GOOD), BAD_SYMBOL),
    "nested symbol": (changed().replace(b'"BTC/USD"', b'{"s":"BTC/USD"}'), BAD_SYMBOL),
    "seven minutes": (factories.line(SYMBOL, GOOD, "7Min"), "timeframe is not a base timeframe"),
    "a week": (factories.line(SYMBOL, GOOD, "1Week"), "timeframe is not a base timeframe"),
    "a coin's day from New York's midnight": (daily(SYMBOL, "2026-01-02T05:00:00Z"), OFF_GRID),
    "a stock's day from UTC's midnight": (daily("AAPL", "2026-01-02T00:00:00Z"), OFF_GRID),
    "a stock's winter day by summer's midnight": (daily("AAPL", "2026-01-02T04:00:00Z"), OFF_GRID),
    "a stock's summer day by winter's midnight": (daily("AAPL", "2025-07-02T05:00:00Z"), OFF_GRID),
    "a stock's day a second late": (daily("AAPL", "2026-01-02T05:00:01Z"), OFF_GRID),
}
SOUND: dict[str, bytes] = {
    "plain": changed(),
    "no trade": changed(v=0, n=0, vw=0),
    "no trade and no vwap": changed(v=0, n=0, vw=None),
    "an open rounded up": changed(o=105, h=104.999999999, l=104, c=104.5, vw=104.6),
    "all rounded": changed(
        **{p: 100 * (1 + n * bars.TOLERANCE / 4) for p, n in zip("hloc", (0, 2, -1, 3), strict=True)}, vw=100
    ),
    "no count and vwap": factories.line(SYMBOL, {k: v for k, v in GOOD.items() if k not in ("n", "vw")}),
    "null count": changed(n=None),
    "whole prices": changed(o=100, h=103, l=99, c=101, v=7, vw=100),
    "small and large": changed(o=1e-12, h=1e15, l=5e-324, v=1.7976931348623157e308),
    "seventeen digits": changed(o=60064.669930000004, h=60064.669930000004),
    "a field more": changed(x={"new": [1, 2]}),
    "white space around": b" " + changed() + b" \n",
    "a coin's day": daily(SYMBOL, "2026-01-02T00:00:00Z"),
    "a stock's winter day": daily("AAPL", "2026-01-02T05:00:00Z"),
    "a stock's summer day": daily("AAPL", "2025-07-02T04:00:00Z"),
    "a stock's day on which the clocks go on": daily("AAPL", "2026-03-08T05:00:00Z"),
    "a stock's day whose vwap is of more than regular hours": daily("AAPL", "2026-01-02T05:00:00Z", vw=300),
    "a stock's day of 1998": daily("AAPL", "1998-01-02T05:00:00Z"),
    "a share class": factories.line("BRK.B", GOOD, "15Min").replace(b"00:03:00", b"00:15:00"),
}
HEADER_CASES: dict[str, tuple[list[tuple[str, Any]] | None, str | None]] = {
    "no headers": (None, "unknown schema version"),
    "no version": ([("source", b"rest")], "unknown schema version"),
    "version 2": (list((HEADERS | {"schema_version": b"2"}).items()), "unknown schema version"),
    "no source": ([("schema_version", b"1")], "unknown source"),
    "source of bytes": (list((HEADERS | {"source": b"\xff\xfe"}).items()), "unknown source"),
    "other order, more headers": ([("x", None), *reversed(HEADERS.items())], None),
    "a header without value": (list((HEADERS | {"source": None}).items()), "unknown source"),
}


@pytest.fixture(scope="module")
def staged(sandbox: Settings, spark: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All the cases above through one Spark job; the staged rows in the order of the cases."""
    feed = factories.feed_name()
    topic = ensure_topic(sandbox, feed)
    producer = Producer(client_config(sandbox))
    for value in (*(value for value, _ in POISON.values()), *SOUND.values()):
        producer.produce(topic, value, b"key", partition=0, headers=list(HEADERS.items()))
    for headers, _ in HEADER_CASES.values():
        producer.produce(topic, changed(), b"key", partition=0, headers=headers)
    producer.produce(topic, changed(), b"key", partition=0, headers=list((HEADERS | {"observed_at": b"soon"}).items()))
    producer.produce(topic, None, None, partition=0)
    assert producer.flush(30) == 0
    state = topic_state(sandbox, feed)
    path = str(tmp_path_factory.mktemp("stage") / "attempt")
    result = stage_messages(spark, sandbox, BARS, topic, {0: Span(0, state.end[0])}, path)
    rows = pq.read_table([f"{path}/{name}" for name in result.files]).to_pylist()
    assert result.messages == len(rows) == state.end[0]
    return sorted(rows, key=lambda row: row["kafka_offset"])


@pytest.mark.parametrize("case", POISON)
def test_poison_is_rejected_with_its_reason_and_bytes(staged: list[dict[str, Any]], case: str) -> None:
    value, reason = POISON[case]
    row = staged[list(POISON).index(case)]
    assert (row["reason"], row["raw_key"], row["raw_value"]) == (reason, b"key", value)
    assert all(row[f.column] is None for f in bars.FIELDS)


@pytest.mark.parametrize("case", SOUND)
def test_sound_bars_arrive_to_the_last_digit(staged: list[dict[str, Any]], case: str) -> None:
    sent = json.loads(SOUND[case])
    row = staged[len(POISON) + list(SOUND).index(case)]
    assert (row["reason"], row["raw_key"], row["raw_value"]) == (None, None, None)
    for field in bars.FIELDS:
        expected = sent.get(field.wire)
        if field.wire == "t":
            expected = datetime.fromisoformat(sent["t"]).replace(tzinfo=None)
        assert row[field.column] == expected, field
    assert row["source"] == "rest"
    assert row["observed_at"] == factories.OBSERVED.replace(tzinfo=None)


@pytest.mark.parametrize("case", HEADER_CASES)
def test_headers_are_judged_too(staged: list[dict[str, Any]], case: str) -> None:
    row = staged[len(POISON) + len(SOUND) + list(HEADER_CASES).index(case)]
    assert row["reason"] == HEADER_CASES[case][1]


def test_without_an_observation_time_the_brokers_counts(staged: list[dict[str, Any]]) -> None:
    row = staged[-2]
    assert row["reason"] is None
    assert abs(row["observed_at"] - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=10)


def test_a_message_of_nothing_is_a_row(staged: list[dict[str, Any]]) -> None:
    row = staged[-1]
    assert (row["reason"], row["raw_key"], row["raw_value"]) == ("unknown schema version", None, None)


def test_exactly_the_span_is_read(sandbox: Settings, spark: Any, tmp_path: Path) -> None:
    feed = factories.feed_name()
    topic = ensure_topic(sandbox, feed)
    producer = Producer(client_config(sandbox))
    for minute in range(10):
        producer.produce(
            topic, factories.line(SYMBOL, factories.bar(minute)), partition=2, headers=list(HEADERS.items())
        )
    assert producer.flush(30) == 0
    result = stage_messages(spark, sandbox, BARS, topic, {2: Span(3, 7)}, str(tmp_path / "attempt"))
    table = pq.read_table(str(tmp_path / "attempt"))
    assert sorted(table["kafka_offset"].to_pylist()) == [3, 4, 5, 6]
    assert result.messages == 4


def test_offsets_that_are_gone_are_an_error(sandbox: Settings, spark: Any, tmp_path: Path) -> None:
    topic = ensure_topic(sandbox, factories.feed_name())
    impatient = sandbox.model_copy(update={"kafka_request_timeout_seconds": 1.0})
    with pytest.raises(StageError, match=topic):
        stage_messages(spark, impatient, BARS, topic, {0: Span(0, 10)}, str(tmp_path / "attempt"))


def test_two_attempts_never_share_a_directory(sandbox: Settings, spark: Any, tmp_path: Path) -> None:
    topic = ensure_topic(sandbox, factories.feed_name())
    (tmp_path / "attempt").mkdir()
    with pytest.raises(StageError, match="ALREADY_EXISTS"):
        stage_messages(spark, sandbox, BARS, topic, {0: Span(0, 0)}, str(tmp_path / "attempt"))


def test_what_no_job_committed_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_bytes(b"half")
    with pytest.raises(StageError, match="did not commit"):
        committed_files(str(tmp_path))
