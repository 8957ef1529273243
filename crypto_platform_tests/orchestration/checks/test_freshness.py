"""Policies and freshness checks: with Dagster's instance, and on tables of a real run."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pandas as pd
import pytest

from crypto_platform.cli.runs import Run
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.definitions import defs
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.freshness import ONE_DAY
from crypto_platform.market.sessions import trading_hours
from crypto_platform.orchestration.checks.freshness import LONGEST_CLOSURE, NOT_JUDGED, judge, tick, watched
from crypto_platform.settings import Settings, use
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

AT = datetime(2026, 5, 2, 12, tzinfo=UTC)  # a Saturday
FRIDAY = "2026-05-01"


@pytest.fixture
def simulated(fresh_settings: Settings, in_force: pytest.MonkeyPatch) -> Settings:
    """A source that moves on; no system is up."""
    chosen = fresh_settings.model_copy(
        update={"sandbox_simulated": True, "sandbox_snowflake_port": 1, "snowflake_network_timeout": 1}
    )
    use(chosen)
    return chosen


def report(instance: dg.DagsterInstance, asset: str, day: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey.from_user_string(asset), partition=day))


def evaluations(result: dg.SensorResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        event.asset_check_key.to_user_string(): event
        for event in result.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    }


def test_every_asset_of_days_has_a_policy() -> None:
    graph = defs().resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.materializable_asset_keys]
    assert [node.key for node in nodes if node.is_partitioned and node.freshness_policy is None] == []


def test_the_longest_closure_is_a_weekend_with_a_holiday() -> None:
    """So that the stocks' policy, which knows no calendar, tells nobody of a holiday."""
    first, years = date(2013, 1, 2), 13
    sessions = [d for n in range(365 * years) if trading_hours("us_equity", d := first + ONE_DAY * n)]
    assert max(after - before for before, after in pairwise(sessions)) == LONGEST_CLOSURE


def test_a_feed_that_was_never_materialised_is_late_and_told_once(simulated: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, None, AT)
        found = evaluations(first)
        assert set(found) == {watch.key.to_user_string() for watch in watched()}
        for evaluation in found.values():
            assert not evaluation.passed
            assert evaluation.severity == dg.AssetCheckSeverity.ERROR
            assert "no day was ever materialised" in str(evaluation.description)
        assert found["raw/crypto_bars:is_fresh"].metadata["remediation"].value == (
            f"crypto-platform materialize --feed crypto --from {FRIDAY} --to 2026-05-02 --simulated"
        )
        assert not tick(instance, first.cursor, AT + timedelta(minutes=1)).asset_events
        # Sunday: another day of crypto is missing, the exchange stayed closed.
        sunday = evaluations(tick(instance, first.cursor, AT + ONE_DAY))
        assert set(sunday) == {"raw/crypto_bars:is_fresh", "marts/fct_bars:crypto_is_fresh"}


def test_recordings_are_not_judged_and_the_check_says_so(fresh_settings: Settings, in_force: object) -> None:
    use(fresh_settings)
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, None, AT)
        assert {(e.passed, e.description) for e in evaluations(first).values()} == {(True, NOT_JUDGED)}
        report(instance, "raw/crypto_bars", FRIDAY)
        assert not tick(instance, first.cursor, AT + timedelta(days=40)).asset_events


@pytest.mark.slow
def test_a_snowflake_that_does_not_answer_is_told_once_and_asked_again(simulated: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "raw/crypto_bars", FRIDAY)
        first = tick(instance, None, AT)
        found = evaluations(first)["raw/crypto_bars:is_fresh"]
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert "Snowflake does not answer" in str(found.description)
        again = tick(instance, first.cursor, AT)
        assert not again.asset_events
        assert again.cursor == first.cursor


def test_a_run_makes_a_feed_fresh_and_a_partition_without_bars_does_not(
    platform_settings: Settings, crypto_day: Run, in_force: pytest.MonkeyPatch
) -> None:
    # The suite's bars are recordings; that day they were of today.
    use(platform_settings.model_copy(update={"sandbox_simulated": True}))
    crypto = [watch for watch in watched() if watch.feed == "crypto"]
    with dg.DagsterInstance.get() as instance:
        for found in judge(instance, crypto, AT).values():
            assert found.passed, found.description
        report(instance, "raw/crypto_bars", "2026-05-31")
        recorded_until = datetime(2026, 6, 2, 12, tzinfo=UTC)
        report(instance, "raw/crypto_bars", "2026-06-01")
        found = judge(instance, crypto, recorded_until)[crypto[0]]
    assert not found.passed
    assert "its bars do not reach 23:49 UTC: BTC/USD ends at" in str(found.description)
    assert found.metadata["remediation"].value.endswith("--from 2026-06-01 --to 2026-06-02 --simulated")


def test_newer_bars_by_stream_do_not_make_a_day_whole(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("NEWEST")
    bars = recording("BTC-USD_1Min").set_index("bar_start", drop=False)
    warehouse.load("crypto", bars["2026-03-01 00:00":"2026-03-01 10:00"], pd.Timestamp("2026-03-02"))  # type: ignore[misc]
    warehouse.load("crypto", bars["2026-03-02 00:00":"2026-03-02 01:00"], pd.Timestamp("2026-03-02"), "stream")  # type: ignore[misc]
    (ledger,) = (w for w in watched() if w.asset == dg.AssetKey(["raw", "crypto_bars"]))
    with connect(warehouse.settings) as connection:
        for day, newest in ((1, datetime(2026, 3, 1, 10, tzinfo=UTC)), (2, datetime(2026, 3, 2, 1, tzinfo=UTC))):
            found = ledger.newest_bars(connection, feeds()["crypto"], date(2026, 3, day))
            assert found == {"BTC/USD": newest}
