import dagster as dg
import pytest

from crypto_platform.defs import snowflake_costs
from crypto_platform.settings import Settings


def test_costs_are_built_daily_of_an_account_alone(fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (schedule,) = snowflake_costs.costs().schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    built: list[Settings] = []
    monkeypatch.setattr(snowflake_costs, "build", built.append)
    monkeypatch.setattr(snowflake_costs, "settings", lambda: fresh_settings)
    with dg.build_schedule_context() as context:
        assert "the emulator meters nothing" in (schedule.evaluate_tick(context).skip_message or "")
        monkeypatch.setattr(
            snowflake_costs, "settings", lambda: fresh_settings.model_copy(update={"snowflake_account": "org-account"})
        )
        assert len(schedule.evaluate_tick(context).run_requests or []) == 1
    assert snowflake_costs.snowflake_costs.execute_in_process().success
    assert [settings.snowflake_account for settings in built] == ["org-account"]
