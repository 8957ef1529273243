"""Freshness states become one alert a group of assets."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from crypto_platform.monitoring import late_assets
from crypto_platform_tests.monitoring.conftest import KAFKA, RAW, Watched

GROUPS = {KAFKA: "crypto", RAW: "crypto", dg.AssetKey("facts"): "marts"}
NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)


def report(instance: dg.DagsterInstance, key: dg.AssetKey, state: FreshnessState) -> None:
    change = FreshnessStateChange(
        key=key,
        new_state=state,
        previous_state=FreshnessState.UNKNOWN,
        state_change_timestamp=NOW.timestamp(),
    )
    instance._report_runless_asset_event(change)


def test_late_assets_are_told_by_group_until_all_are_fresh(instance: dg.DagsterInstance, watched: Watched) -> None:
    def look() -> list[str]:
        late_assets.watch(instance, watched.manager, watched.settings, NOW, GROUPS)
        return watched.titles()

    report(instance, KAFKA, FreshnessState.PASS)
    assert look() == []
    report(instance, KAFKA, FreshnessState.WARN)
    report(instance, RAW, FreshnessState.FAIL)
    report(instance, dg.AssetKey("facts"), FreshnessState.UNKNOWN)
    assert look() == ["ERROR: kafka/crypto_bars_topic, raw/crypto_bars are late · crypto"]
    [alert] = watched.open()
    assert alert.remediation == "crypto-platform materialize --feed crypto --from 2026-03-28 --to 2026-03-29"
    assert alert.link == "http://127.0.0.1:3000/locations/__repository__@crypto_platform/asset-groups/crypto"
    report(instance, RAW, FreshnessState.PASS)
    assert look() == []
    report(instance, KAFKA, FreshnessState.PASS)
    assert [title[:8] for title in look()] == ["RESOLVED"]


def test_recordings_are_never_late(instance: dg.DagsterInstance, watched: Watched) -> None:
    report(instance, RAW, FreshnessState.FAIL)
    recorded = watched.settings.model_copy(update={"sandbox_simulated": False})
    late_assets.watch(instance, watched.manager, recorded, NOW, GROUPS)
    assert watched.open() == []
