"""Assets that are late by their freshness policy, until they are fresh again; one alert a group of assets."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from crypto_platform.alerting.alert import Alert, Severity
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.dagster_instance.internals import FreshnessState, FreshnessStateRecord
from crypto_platform.dagster_instance.run_days import Days
from crypto_platform.market.data_source import label, moves_on
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.freshness import ONE_DAY, expected
from crypto_platform.monitoring.scope import rerun
from crypto_platform.monitoring.ui import Links
from crypto_platform.settings import Settings

SOURCE = "freshness"
_LATE = {FreshnessState.FAIL: Severity.ERROR, FreshnessState.WARN: Severity.WARNING}


def watch(
    instance: dg.DagsterInstance,
    manager: AlertManager,
    settings: Settings,
    now: datetime,
    groups: Mapping[dg.AssetKey, str],
) -> None:
    """Take the state that the daemon wrote for each asset; `groups` are the assets that have a policy, by group.

    Recordings end some day: nothing is late then.
    """
    records = instance.get_freshness_state_records(list(groups)) if moves_on(settings) else {}
    late: dict[str, dict[dg.AssetKey, FreshnessStateRecord]] = {}
    for key, record in records.items():
        if record.freshness_state in _LATE:
            late.setdefault(groups[key], {})[key] = record
    manager.observe(SOURCE, [_alert(group, found, settings, now) for group, found in late.items()])


def _alert(group: str, late: Mapping[dg.AssetKey, FreshnessStateRecord], settings: Settings, now: datetime) -> Alert:
    feed = group if group in feeds() else ""
    names = sorted(key.to_user_string() for key in late)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return Alert(
        fingerprint=f"freshness:{group}",
        kind="freshness",
        summary=f"{shown} {'is' if len(names) == 1 else 'are'} late",
        started_at=min(record.updated_at for record in late.values()).astimezone(UTC),
        severity=max(_LATE[record.freshness_state] for record in late.values()),
        feed=feed,
        impact="not materialised by the deadline of the freshness policy; what follows shows older days",
        cause="no run since, or none that succeeded: see the group's runs, its schedule and other alerts",
        link=Links(settings).group(group),
        remediation=" && ".join(_newest_day(name, now) for name in ([feed] if feed else feeds())),
        data_source=label(settings),
    )


def _newest_day(feed: str, now: datetime) -> str:
    """The command that makes the newest day that is due."""
    wanted = expected(feeds()[feed], now)
    return rerun(feed, Days(wanted.day, wanted.day + ONE_DAY) if wanted else None)
