from datetime import date

import pytest

from crypto_platform.calendar import reason_without_bars


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


def test_crypto_never_closes() -> None:
    assert reason_without_bars("crypto", date(2026, 4, 25)) == "Alpaca has no bars for this day"
