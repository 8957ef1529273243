"""The dashboards in Superset, downstream of the marts that dbt's exposures name.

The asset has no partitions and is in no feed's job: it is of the code in `dashboards/`, not of a day, the charts ask
Snowflake whenever they are looked at, and a Superset that is down must not fail a load. Materialise it after the code
changed, or to have every chart asked.
"""

import dagster as dg

from crypto_platform.connectors.superset import materialisation
from crypto_platform.orchestration.dbt.translator import Translator
from crypto_platform.settings import settings
from crypto_platform.transform.exposures import exposed
from crypto_platform.transform.project import owners

CHECK = "every_chart_answers"


@dg.asset(
    key=["superset", "market_dashboard"],
    group_name="superset",
    owners=owners(),
    kinds={"superset"},
    deps=[Translator().get_asset_key(node) for node in exposed().values()],
    pool="superset",
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=["superset", "market_dashboard"],
            description="Superset runs the query of each chart on Snowflake without an error.",
        )
    ],
    description="Market, Equities, Risk and returns, Data health: the code in `dashboards/` imported into Superset, "
    "and every chart queried. Superset has to be up: `crypto-platform up --dashboard`.",
)
def market_dashboard() -> dg.MaterializeResult:
    report = materialisation.bring_in(settings())
    return dg.MaterializeResult(
        metadata={name: dg.MetadataValue.url(address) for name, address in report.dashboards.items()}
        | {
            "charts": len(report.answers),
            "slowest_chart_seconds": round(max(answer.seconds for answer in report.answers), 2),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not report.failed,
                check_name=CHECK,
                metadata={"charts": len(report.answers), **{a.chart: a.error for a in report.failed}},
            )
        ],
    )
