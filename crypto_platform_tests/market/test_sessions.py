from datetime import date, datetime

import pytest
import yaml

from crypto_platform.market.sessions import FIRST_DAY, nyse, open_since, reason_without_bars
from crypto_platform.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2026-04-25", "no session: Saturday"),
        ("2025-07-04", "no session: July 4th"),
        ("2025-01-09", "no session: the exchange was closed"),  # the mourning for President Carter
        ("2025-07-07", "Alpaca has no bars for this session"),
        ("1950-01-02", "does not cover"),
    ],
)
def test_why_a_stock_day_has_no_bars(day: str, words: str) -> None:
    assert words in reason_without_bars("us_equity", date.fromisoformat(day))


def test_the_calendar_begins_where_dbts_does() -> None:
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text())
    assert date.fromisoformat(project["vars"]["calendar_from"]) == FIRST_DAY
    assert nyse().first_session.date() == date(1998, 1, 2)


def test_crypto_never_closes() -> None:
    assert reason_without_bars("crypto", date(2026, 4, 25)) == "Alpaca has no bars for this day"


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-03-02T14:29:59Z", None),
        ("2026-03-02T14:30:00Z", "2026-03-02T14:30:00Z"),
        ("2026-03-02T20:59:59Z", "2026-03-02T14:30:00Z"),
        ("2026-03-02T21:00:00Z", None),
        ("2026-03-07T15:00:00Z", None),
        ("2025-11-28T17:59:00Z", "2025-11-28T14:30:00Z"),
        ("2025-11-28T18:00:00Z", None),
        ("1950-01-03T15:00:00Z", None),
    ],
)
def test_the_exchange_is_open_in_its_regular_hours(moment: str, opened: str | None) -> None:
    expected = opened and datetime.fromisoformat(opened)
    assert open_since("us_equity", datetime.fromisoformat(moment)) == expected
    assert open_since("crypto", datetime.fromisoformat(moment)) is not None
