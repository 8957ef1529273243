"""A home is backed up, the warehouse and the topics are lost, and what the ledgers knew comes back from the lake."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from crypto_platform.backup import home
from crypto_platform.backup.archive import verify
from crypto_platform.connectors.kafka.admin import client_config
from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.lake_reconciliation import Reconciliation, held, parsed, reconcile
from crypto_platform.ingestion.republish import rebuild
from crypto_platform.market import corporate_actions
from crypto_platform.market.bars import BARS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

SPEC = FeedSpec(asset_class="us_equity", symbols=("AAPL", "SPY"), timeframe="1Min", start_date=date(2026, 1, 1))
NEXT_DAY = factories.DAY + timedelta(days=1)
LATER = factories.OBSERVED + timedelta(hours=1)
KEYS = {BARS: "symbol, timeframe, bar_start", CORPORATE_ACTIONS: "action_id"}


def split(action_id: str, process_date: date, new_rate: float) -> bytes:
    action = {"id": action_id, "symbol": "AAPL", "process_date": process_date.isoformat(), "old_rate": 1}
    return corporate_actions.encode(
        corporate_actions.flatten("forward_split", action | {"ex_date": str(process_date), "new_rate": new_rate})
    )


def next_day(minute: int, **fields: Any) -> dict[str, Any]:
    bar = factories.bar(minute, **fields)
    return bar | {"t": bar["t"].replace(str(factories.DAY), str(NEXT_DAY))}


def known(settings: Settings, feed: str) -> dict[str, list[tuple[Any, ...]]]:
    """The current versions by the tables' own SQL."""
    found = {}
    with connect(settings) as connection:
        for dataset, key in KEYS.items():
            columns = ", ".join(field.column for field in dataset.fields)
            found[dataset.name] = (
                connection.cursor()
                .execute(
                    f"SELECT {columns} FROM {dataset.ledger(feed)} QUALIFY row_number() OVER "
                    f"(PARTITION BY {key} ORDER BY observed_at DESC, loaded_at DESC, kafka_offset DESC) = 1 "
                    f"ORDER BY {key}"
                )
                .fetchall()
            )
    return found


@pytest.fixture
def loaded(sandbox: Settings, tmp_path: Path) -> tuple[Settings, str]:
    """Two days, one of them corrected, with a bar that was rejected and an amended split."""
    own = {"crypto_platform_home": tmp_path / "home", "dagster_home": None, "snowflake_database": "BACKED_UP"}
    settings = sandbox.model_copy(update=own)
    feed, lake = factories.feed_name(), Lake(settings.lake)

    def take(day: date, dataset: Any, observed_at: datetime, sections: dict[str, list[bytes]]) -> None:
        folder = "1Min" if dataset is BARS else dataset.name
        own = {symbol: Section(observed_at, lines) for symbol, lines in sections.items()}
        whole = lake.write_day(feed, folder, day, own, "run")
        # As a run does that asked for these alone.
        publish(settings, feed, [replace(whole, sections=own)], "run", dataset=dataset)

    aapl = [factories.line("AAPL", factories.bar(minute)) for minute in range(3)]
    take(
        factories.DAY,
        BARS,
        factories.OBSERVED,
        {"AAPL": aapl, "SPY": [factories.line("SPY", factories.bar(0, vw=None, n=None))]},
    )
    take(factories.DAY, BARS, LATER, {"AAPL": [aapl[0], factories.line("AAPL", factories.bar(1, c=100.5)), aapl[2]]})
    take(
        NEXT_DAY,
        BARS,
        factories.OBSERVED,
        {"AAPL": [factories.line("AAPL", next_day(0)), factories.line("AAPL", next_day(1, h=1))]},
    )
    take(factories.DAY, CORPORATE_ACTIONS, factories.OBSERVED, {"AAPL": [split("one", factories.DAY, 2)]})
    take(factories.DAY, CORPORATE_ACTIONS, LATER, {"AAPL": [split("one", factories.DAY, 4)]})
    for dataset in KEYS:
        topic_load.load(settings, feed, "run", dataset=dataset)
    return settings, feed


def compared(settings: Settings, feed: str, expected: Any = None) -> dict[str, Reconciliation]:
    with connect(settings) as connection:
        return {one.table: one for one in reconcile(Lake(settings.lake), connection, feed, SPEC, expected or {})}


@pytest.mark.sandbox
def test_a_lost_warehouse_is_rebuilt_from_a_restored_home(loaded: tuple[Settings, str], tmp_path: Path) -> None:
    settings, feed = loaded
    before = known(settings, feed)
    assert (len(before["bars"]), len(before["corporate_actions"])) == (5, 1)
    assert all(one.agrees for one in compared(settings, feed).values())

    def ledgers() -> dict[str, Any]:
        with connect(settings) as connection:
            return held(connection, {feed: SPEC, "never_loaded": SPEC})

    archive = tmp_path / "one.tar.zst"
    home.create(settings, archive, ledgers, lambda *_: None)
    admin = AdminClient(client_config(settings))
    for future in admin.delete_topics([dataset.topic(feed) for dataset in KEYS]).values():
        future.result()

    # The emulator drops no database: another one is as empty.
    new = {"crypto_platform_home": tmp_path / "restored", "snowflake_database": f"NEW_{feed.upper()}"}
    restored = settings.model_copy(update=new)
    home.restore(restored, archive, replace=False)
    told: list[str] = []
    rebuild(restored, feed, SPEC, told.append)
    assert f"{feed}: 5 versions loaded, 0 unchanged, 1 rejected" in told
    assert known(restored, feed) == before

    kept = parsed(verify(archive).about["ledgers"])
    for beside in ({}, kept):
        found = compared(restored, feed, beside)
        assert [(one.table, one.records, one.agrees) for one in found.values()] == [
            (BARS.ledger(feed), 5, True),
            (CORPORATE_ACTIONS.ledger(feed), 1, True),
        ]
    with connect(restored) as connection:
        answered = connection.cursor().execute(
            "SELECT timeframe, symbol, partition_date, complete_until FROM RAW.REQUESTED_PARTITIONS WHERE feed = %s "
            "ORDER BY 1, 2, 3",
            (feed,),
        )
        assert answered.fetchall() == [
            ("1Min", "AAPL", factories.DAY, LATER.replace(tzinfo=None)),
            # The ledger lacks what was rejected: a gap of ours.
            ("1Min", "AAPL", NEXT_DAY, datetime.combine(NEXT_DAY, datetime.min.time())),
            ("1Min", "SPY", factories.DAY, factories.OBSERVED.replace(tzinfo=None)),
            ("corporate_actions", "AAPL", factories.DAY, LATER.replace(tzinfo=None)),
        ]

    rebuild(restored, feed, SPEC, told.append)
    assert f"{feed}: 0 versions loaded, 5 unchanged, 1 rejected" in told
    assert all(one.agrees for one in compared(restored, feed, kept).values())


@pytest.mark.sandbox
def test_what_differs_is_said_by_partition(loaded: tuple[Settings, str]) -> None:
    settings, feed = loaded
    ledger = BARS.ledger(feed)

    def after(statement: str) -> Reconciliation:
        with connect(settings) as connection:
            connection.cursor().execute(statement)
        return compared(settings, feed)[ledger]

    def lines(found: Reconciliation) -> list[str]:
        return [difference.line("the lake") for difference in found.differences]

    changed = after(f"UPDATE {ledger} SET close = close + 1e-9 WHERE symbol = 'SPY'")
    assert lines(changed) == ["2026-01-02: 4 in the lake, 4 in the ledger, with other values"]
    gone = after(f"DELETE FROM {ledger} WHERE bar_start >= '2026-01-03'")
    assert lines(gone)[1:] == ["2026-01-03: 1 in the lake, 0 in the ledger"]
    # An older version is none of the lake's, but one of the loads'.
    assert (gone.balance.held, gone.balance.loaded) == (5, 6)
    rebuild(settings, feed, SPEC, lambda _: None)
    assert all(one.agrees for one in compared(settings, feed).values())


def test_the_order_of_the_records_does_not_matter_and_their_number_does(
    made_fingerprints: Callable[[list[int]], Any],
) -> None:
    assert made_fingerprints([1, 2, 3]) == made_fingerprints([3, 1, 2])
    assert len({str(made_fingerprints(minutes)) for minutes in ([1], [1, 1], [2], [1, 2], [])}) == 5


@pytest.fixture
def made_fingerprints(tmp_path: Path) -> Callable[[list[int]], Any]:
    """The fingerprints of a lake's day with these minutes."""
    from crypto_platform.ingestion.lake_reconciliation import _fingerprints, _of_lake

    def fingerprints(minutes: list[int]) -> Any:
        lake = Lake(str(tmp_path / "lake"))
        section = Section(
            datetime(2026, 1, 5, tzinfo=UTC), [factories.line("AAPL", factories.bar(minute)) for minute in minutes]
        )
        lake.write_day("made", "1Min", factories.DAY, {"AAPL": section}, "run")
        return _fingerprints(_of_lake(lake, "made", "1Min", BARS, set()))

    return fingerprints
