"""Half-open ranges of UTC days."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

Range = tuple[date, date]

ONE_DAY = timedelta(days=1)


def days_in(days: Range) -> Iterator[date]:
    """Each day of [start, end)."""
    start, end = days
    return (start + n * ONE_DAY for n in range((end - start).days))


def ranges(days: Iterable[date]) -> list[Range]:
    """The ranges [first, after last) of consecutive days, ascending."""
    found: list[Range] = []
    for day in sorted(set(days)):
        if found and found[-1][1] == day:
            found[-1] = found[-1][0], day + ONE_DAY
        else:
            found.append((day, day + ONE_DAY))
    return found
