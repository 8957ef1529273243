"""The checks that end a run: whether the marts hold what the ledger holds and what the calendar expects."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from crypto_platform.connectors.snowflake import fact_checks
from crypto_platform.market.data_source import again
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.asset_keys import COMPLETENESS, FACTS
from crypto_platform.orchestration.checks.stages import LISTED, Check, specs
from crypto_platform.orchestration.metadata import records
from crypto_platform.orchestration.partitions import days_of_run
from crypto_platform.settings import settings

# What is looked at when the checks are executed without a run's days.
RECENT = timedelta(days=31)

FACT_RECONCILIATION = Check(
    "fact_reconciliation",
    "Each day of the run has as many bars in MARTS.FCT_BARS as in the ledgers, by feed and symbol.",
    blocking=False,
)
SESSION_COMPLETENESS = Check(
    "session_completeness",
    "No crypto day of the run lacks a bar, and no session of a stock lacks all unless it was halted all along, in "
    "MARTS.FCT_COMPLETENESS.",
    blocking=False,
)


@dg.multi_asset_check(
    name="fact_checks",
    specs=[*specs(FACTS, [FACT_RECONCILIATION]), *specs(COMPLETENESS, [SESSION_COMPLETENESS])],
    can_subset=True,
)
def fact_checks_of_a_run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Of the run's days; executed on their own, of the last `RECENT`."""
    from crypto_platform.connectors.snowflake.connection import connect

    today = datetime.now(UTC).date()
    first, last = days_of_run(context.run) or (today - RECENT, today)
    end = last + timedelta(days=1)
    chosen = {key.name for key in context.selected_asset_check_keys}
    with connect(settings(), "checks") as connection:
        if FACT_RECONCILIATION.name in chosen:
            yield shown(FACT_RECONCILIATION, first, last, fact_checks.differing_days(connection, feeds(), first, end))
        if SESSION_COMPLETENESS.name in chosen:
            yield shown(SESSION_COMPLETENESS, first, last, fact_checks.incomplete_sessions(connection, first, end))


def shown(check: Check, first: date, last: date, rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """The result of one of these checks over the days from `first` to `last`; `rows` are those that fall short."""
    metadata: dict[str, Any] = {"days": f"{first} to {last}", "failing_rows": len(rows)}
    says = "the same in both" if check is FACT_RECONCILIATION else "no session lacks bars"
    if rows:
        worst = rows[0]
        days = [row["day"] for row in rows if row["feed"] == worst["feed"]]
        figures = ", ".join(f"{name.replace('_', ' ')} {worst[name]:,}" for name in list(worst)[3:])
        where = f"{worst['feed']} {worst['symbol']} on {worst['day']}"
        says = f"{len(rows):,} days and symbols fall short, first {where}: {figures}"
        metadata |= {
            "which": records(rows[:LISTED]),
            "remediation": again(worst["feed"], min(days), max(days) + timedelta(days=1)),
        }
    return dg.AssetCheckResult(
        asset_key=FACTS if check is FACT_RECONCILIATION else COMPLETENESS,
        check_name=check.name,
        passed=not rows,
        severity=dg.AssetCheckSeverity.ERROR if check is FACT_RECONCILIATION else dg.AssetCheckSeverity.WARN,
        description=says,
        metadata=metadata,
    )
