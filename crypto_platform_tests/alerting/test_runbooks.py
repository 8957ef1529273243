"""Each kind of alert has its runbook."""

from typing import get_args

import pytest
from pydantic import ValidationError

from crypto_platform.alerting.alert import Kind
from crypto_platform.alerting.message import Event, Item
from crypto_platform.settings import PROJECT_ROOT, Settings
from crypto_platform_tests.alerting.conftest import NOON, alert

RUNBOOKS = Settings.model_fields["alert_runbook_url"].default


def test_every_kind_has_its_page_in_the_index_and_every_page_its_kind() -> None:
    pages = {Item(Event.FIRING, alert(kind=kind), NOON, RUNBOOKS).runbook for kind in get_args(Kind)}
    folder = PROJECT_ROOT / RUNBOOKS
    there = {path.relative_to(PROJECT_ROOT).as_posix() for path in folder.glob("*.md")}
    assert pages == there - {f"{RUNBOOKS}/README.md"}
    index = (folder / "README.md").read_text()
    assert [kind for kind in get_args(Kind) if f"| `{kind}` |" not in index] == []


def test_an_alert_of_a_kind_without_a_page_is_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        alert(kind="surprise")


@pytest.mark.parametrize("base", ["https://example.com/runbooks", "https://example.com/runbooks/"])
def test_the_link_is_where_people_read_the_runbooks(base: str) -> None:
    item = Item(Event.FIRING, alert(kind="stream lag"), NOON, base)
    assert ("runbook", "https://example.com/runbooks/stream-lag.md") in list(item.lines())
