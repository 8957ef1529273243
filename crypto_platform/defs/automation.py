"""The sensor that has what follows a stage follow it (`feeds.follow`)."""

import dagster as dg


@dg.definitions
def automation() -> dg.Definitions:
    sensor = dg.AutomationConditionSensorDefinition(
        "automation_condition_sensor",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        # The conditions hold one of our own, which the daemon does not have.
        use_user_code_server=True,
        description="Requests what comes after a stage that was materialised on its own, all days in one run.",
    )
    return dg.Definitions(sensors=[sensor])
