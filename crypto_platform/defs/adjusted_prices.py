"""The daily comparison of adjusted prices with Alpaca's (`checks.adjusted_prices`), apart from the feeds' runs."""

import dagster as dg

from crypto_platform.orchestration.automation.daily import reason_not_to_ask
from crypto_platform.orchestration.checks.adjusted_prices import adjusted_price_reconciliation
from crypto_platform.settings import settings


@dg.definitions
def adjusted_prices() -> dg.Definitions:
    job = dg.define_asset_job(
        "adjusted_prices",
        selection=dg.AssetSelection.checks(adjusted_price_reconciliation),
        description="Compares a sample of adjusted prices with Alpaca's.",
    )

    # After New York's midnight, when the runs of daily bars start, and hours before it opens.
    @dg.schedule(
        name="adjusted_prices_daily",
        job=job,
        cron_schedule="0 8 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares a sample of adjusted prices with Alpaca's once a day; not with recordings.",
    )
    def schedule() -> dg.RunRequest | dg.SkipReason:
        reason = reason_not_to_ask(settings())
        return dg.SkipReason(reason) if reason else dg.RunRequest()

    return dg.Definitions(asset_checks=[adjusted_price_reconciliation], jobs=[job], schedules=[schedule])
