import random
from dataclasses import replace
from datetime import date, timedelta
from math import exp

import pytest

from crypto_platform.market.outliers import DayFigures, odd_volumes, price_jumps

FIRST = date(2026, 1, 1)
LAST = FIRST + timedelta(days=39)


def history(seed: int = 1, days: int = 40, move: float = 0.02, step: int = 1) -> dict[tuple[date, str], DayFigures]:
    """A symbol's days: a random walk of the daily median, with swings and volumes as of a market."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    found, price = {}, 100.0
    for n in range(0, days, step):
        price *= exp(chance.gauss(0, move))
        swing = exp(abs(chance.gauss(0, move)) + move / 2)
        found[FIRST + timedelta(days=n), "BTC/USD"] = DayFigures(
            bars=1440,
            versions=1440,
            off_grid=0,
            broken=0,
            median=price,
            quartiles=(price * exp(-move / 4), price * exp(move / 4)),
            low=price / swing,
            high=price * swing,
            volume=1000 * exp(chance.gauss(0, 0.5)),
        )
    return found


def changed(days: int = 40, **fields: object) -> dict[tuple[date, str], DayFigures]:
    """The same history, its last day changed."""
    found = history(days=days)
    key = max(found)
    return found | {key: replace(found[key], **fields)}  # type: ignore[arg-type]


@pytest.mark.parametrize("move", [0.001, 0.01, 0.05])
@pytest.mark.parametrize("step", [1, 3])
def test_a_market_that_goes_its_way_is_not_suspected(move: float, step: int) -> None:
    """Fifteen markets of a year each."""
    for seed in range(15):
        figures = history(seed, 365, move, step)
        days = [day for day, _ in figures]
        assert price_jumps(figures, days, {}) == [], seed
        assert odd_volumes(figures, days, {}) == [], seed


def test_a_price_ten_times_too_high_is_found_and_told_where_to_look() -> None:
    last = history()[LAST, "BTC/USD"]
    (found,) = price_jumps(changed(high=last.median * 10), [LAST], {})
    assert (found.day, found.symbol) == (LAST, "BTC/USD")
    assert found.prices
    assert last.low > found.prices[0]
    assert last.high < found.prices[1] < last.median * 10
    (found,) = price_jumps(changed(low=last.median / 10), [LAST], {})
    assert "around a median of" in found.says


@pytest.mark.parametrize("days", [3, 40])
def test_a_day_at_a_quarter_of_the_price_is_found_also_after_a_short_history(days: int) -> None:
    """As of a split that nobody adjusted for."""
    day, symbol = max(history(days=days))
    last = history(days=days)[day, symbol]
    scaled = {name: getattr(last, name) / 4 for name in ("median", "low", "high")}
    (found,) = price_jumps(changed(days, quartiles=(last.quartiles[0] / 4, last.quartiles[1] / 4), **scaled), [day], {})
    assert "times that of the day before" in found.says
    assert found.prices is None


@pytest.mark.parametrize("ex_date", [LAST, LAST - timedelta(days=20)])
@pytest.mark.parametrize("factor", [1 / 4, 10])
def test_a_split_is_no_jump_and_does_not_hide_one(ex_date: date, factor: float) -> None:
    def split(found: DayFigures) -> DayFigures:
        lower, upper = found.quartiles
        return DayFigures(
            *(found.bars, found.versions, found.off_grid, found.broken, found.median * factor),
            *((lower * factor, upper * factor), found.low * factor, found.high * factor, found.volume / factor),
        )

    figures = {key: split(found) if key[0] >= ex_date else found for key, found in history().items()}
    known = {"BTC/USD": [(ex_date, factor)]}
    days = [day for day, _ in figures]
    assert price_jumps(figures, days, known) == odd_volumes(figures, days, known) == []
    assert [s.day for s in price_jumps(figures, days, {})] == [ex_date]
    # Known and not there: the prices went on as before.
    assert [s.day for s in price_jumps(history(), days, known)] == [ex_date]


def test_one_wild_day_in_the_history_hides_nothing() -> None:
    figures = changed(high=history()[LAST, "BTC/USD"].median * 10)
    wild = LAST - timedelta(days=5), "BTC/USD"
    figures[wild] = replace(figures[wild], high=figures[wild].median * 50)
    assert [s.day for s in price_jumps(figures, [LAST], {})] == [LAST]


@pytest.mark.parametrize(("volume", "words"), [(0.0, "the volume is 0"), (1.0, "times the median"), (1e6, "times")])
def test_a_volume_of_another_size_is_found(volume: float, words: str) -> None:
    (found,) = odd_volumes(changed(volume=volume), [LAST], {})
    assert words in found.says


def test_without_a_history_no_volume_is_odd() -> None:
    assert odd_volumes(changed(days=5, volume=0.0), [FIRST + timedelta(days=4)], {}) == []


def test_only_the_days_asked_for_are_judged() -> None:
    figures = changed(high=1e9)
    assert price_jumps(figures, [LAST - timedelta(days=1)], {}) == []
