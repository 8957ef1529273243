import dagster as dg
import pytest

from crypto_platform.connectors.superset import code
from crypto_platform.connectors.superset.client import url
from crypto_platform.defs import dashboard
from crypto_platform.settings import Settings

pytestmark = pytest.mark.timeout(900)


def test_materialising_brings_the_code_in_and_asks_every_chart(
    superset: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "settings", lambda: superset)
    result = dg.materialize([dashboard.market_dashboard])
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    (made,) = result.asset_materializations_for_node("superset__market_dashboard")
    assert made.metadata["charts"].value == len(code.charts(code.read()))
    assert made.metadata["Market"].value == f"{url(superset)}/superset/dashboard/market/"


def test_without_superset_the_run_says_what_to_start(fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = fresh_settings.model_copy(update={"superset_url": "http://127.0.0.1:9"})
    monkeypatch.setattr(dashboard, "settings", lambda: nowhere)
    result = dg.materialize([dashboard.market_dashboard], raise_on_error=False)
    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "crypto-platform up --dashboard" in failure.step_failure_data.error.cause.message
