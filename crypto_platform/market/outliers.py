"""Whether a day's prices and volume are what the days before it let expect: robust figures a symbol and day.

Everything is measured in logarithms, so that half and double are equally far, against medians of up to `HISTORY` days
with bars before the day: one wild day among them changes nothing. Across a split the days before are counted in the new
shares.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from math import exp, inf, log, prod
from statistics import median

HISTORY = 30
LOOK_BACK = timedelta(days=45)  # holds as many sessions
ENOUGH = 10  # days of history that say more than the defaults below

# A price is suspect this many times further away than usual; a normal deviation is 1.4826 times the median one.
PRICE_TIMES, VOLUME_TIMES = 8, 6
NORMAL = 1.4826
# What counts as usual at least, and where there is no history: 1 % and 4 % of a price, a factor 1.6 of a volume.
LEAST_MOVE, USUAL_MOVE = 0.01, 0.04
LEAST_VOLUME_MOVE = 0.5


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One symbol's bars on one UTC day: `versions` of `bars`, how many are odd, and where prices and volume lay."""

    bars: int
    versions: int
    off_grid: int
    broken: int
    median: float
    quartiles: tuple[float, float]
    low: float
    high: float
    volume: float


@dataclass(frozen=True)
class Outlier:
    """A symbol's day that is not as usual, in words; bars outside of `prices`, low and high, are why, where given."""

    day: date
    symbol: str
    says: str
    prices: tuple[float, float] | None = None


Figures = Mapping[tuple[date, str], DayFigures]
# By symbol its splits: the ex-date, and what prices before it are multiplied by.
Splits = Mapping[str, Sequence[tuple[date, float]]]


def price_jumps(figures: Figures, days: Collection[date], splits: Splits) -> list[Outlier]:
    """The days whose middle price is far from the day before's, or with a bar far from the middle of its own day.

    `figures` are of `days` and of `LOOK_BACK` before them, `splits` those that are known of these days.
    """
    found = []
    for day, symbol, today, before in _with_history(figures, days, splits):
        # What is usual is never below the least: of most days the history need not be gone through.
        move = log(today.median / before[-1].median) if before else 0.0
        if abs(move) > PRICE_TIMES * LEAST_MOVE and abs(move) > PRICE_TIMES * _usual(_moves(before)):
            says = f"the median price is {today.median:g}, {exp(move):.3g} times that of the day before"
            found.append(Outlier(day, symbol, says))
        swing, least = _swing(today), max(LEAST_MOVE, log(today.quartiles[1] / today.quartiles[0]))
        if swing > PRICE_TIMES * least and swing > PRICE_TIMES * (usual := max(_usual([*map(_swing, before)]), least)):
            away = exp(PRICE_TIMES * usual)
            says = f"prices from {today.low:g} to {today.high:g} around a median of {today.median:g}"
            found.append(Outlier(day, symbol, says, (today.median / away, today.median * away)))
    return found


def odd_volumes(figures: Figures, days: Collection[date], splits: Splits) -> list[Outlier]:
    """The days whose volume is far from the median of those before; none is told of without `ENOUGH` of them."""
    found = []
    for day, symbol, today, before in _with_history(figures, days, splits):
        volumes = [d.volume for d in before if d.volume > 0]
        if len(volumes) < ENOUGH:
            continue
        middle = median(volumes)
        move = abs(log(today.volume / middle)) if today.volume > 0 else inf
        if move > VOLUME_TIMES * LEAST_VOLUME_MOVE and move > VOLUME_TIMES * _usual_of_volumes(volumes, middle):
            times = today.volume / middle
            says = f"the volume is {today.volume:g}, {times:.3g} times the median of the {len(volumes)} days before"
            found.append(Outlier(day, symbol, says))
    return found


def _usual_of_volumes(volumes: list[float], middle: float) -> float:
    return max(NORMAL * median(abs(log(v / middle)) for v in volumes), LEAST_VOLUME_MOVE)


def _moves(days: Sequence[DayFigures]) -> list[float]:
    """How far the median price went from each day to the next."""
    return [abs(log(b.median / a.median)) for a, b in pairwise(days)]


def _swing(day: DayFigures) -> float:
    """How far the day's prices went from its median."""
    return max(log(day.high / day.median), log(day.median / day.low))


def _usual(moves: list[float]) -> float:
    return max(NORMAL * median(moves), LEAST_MOVE) if len(moves) >= ENOUGH else USUAL_MOVE


def _with_history(
    figures: Figures, days: Collection[date], splits: Splits
) -> Iterator[tuple[date, str, DayFigures, list[DayFigures]]]:
    """Each of `days` with bars by symbol, and the days with bars before it in the day's own shares, ascending."""
    chosen = set(days)
    by_symbol: dict[str, deque[tuple[date, DayFigures]]] = defaultdict(lambda: deque(maxlen=HISTORY))
    for day, symbol in sorted(figures):
        earlier, found = by_symbol[symbol], figures[day, symbol]
        if day in chosen:
            while earlier and earlier[0][0] < day - LOOK_BACK:
                earlier.popleft()
            if known := [split for split in splits.get(symbol, ()) if earlier and earlier[0][0] < split[0] <= day]:
                yield day, symbol, found, [_in_shares_after(known, d, f) for d, f in earlier]
            else:
                yield day, symbol, found, [f for _, f in earlier]
        earlier.append((day, found))


def _in_shares_after(splits: Sequence[tuple[date, float]], day: date, found: DayFigures) -> DayFigures:
    """The day's figures as if the splits after it had been before it."""
    factor = prod(factor for ex_date, factor in splits if ex_date > day)
    if factor == 1:
        return found
    lower, upper = found.quartiles
    return replace(
        found,
        median=found.median * factor,
        quartiles=(lower * factor, upper * factor),
        low=found.low * factor,
        high=found.high * factor,
        volume=found.volume / factor,
    )
