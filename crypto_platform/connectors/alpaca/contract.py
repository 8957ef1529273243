"""Whether Alpaca's bars have the fields that were agreed on, by what was seen of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crypto_platform.connectors.alpaca.page import Bars
from crypto_platform.market.bars import FIELDS

# The others, `symbol` and `timeframe`, are not in Alpaca's bar objects.
AGREED = {f.wire: f for f in FIELDS if f.wire not in ("symbol", "timeframe")}
_TYPES: dict[str, tuple[type, ...]] = {"DOUBLE": (int, float), "BIGINT": (int,), "TIMESTAMP_NTZ": (str,)}


@dataclass(frozen=True)
class Drift:
    """How bars differ from what was agreed on, by field.

    `unknown`, `missing` (required ones only): the number of bars; `mistyped`: a value that was seen. `gone`: the
    required fields that most bars lack or have in another type. The load refuses each bar without a required field.
    """

    unknown: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    mistyped: dict[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unknown or self.missing or self.mistyped)

    def says(self) -> str:
        """The differences in words."""
        parts = [f"{name} is new ({count:,} bars)" for name, count in self.unknown.items()]
        parts += [f"{name} is missing ({count:,} bars)" for name, count in self.missing.items()]
        parts += [f"{name} is of another type, such as {value}" for name, value in self.mistyped.items()]
        return "; ".join(parts)


class FieldsSeen:
    """Fields of the bars that pages brought; used by several threads at once."""

    def __init__(self) -> None:
        self._shapes: Counter[tuple[str, ...]] = Counter()
        self._mistyped: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._sampled = 0
        self._lock = threading.Lock()

    def note(self, bars: Bars) -> None:
        """Take in a page: the names of every bar's fields, the types in each symbol's first and last bar."""
        for rows in bars.values():
            shapes = Counter(map(tuple, rows))
            mistyped = [(name, value) for row in (rows[0], rows[-1]) for name, value in _mistyped(row)]
            with self._lock:
                self._shapes += shapes
                self._sampled += 2
                self._mistyped.update(name for name, _ in mistyped)
                self._examples.update((name, repr(value)[:40]) for name, value in mistyped)

    def drift(self) -> Drift:
        """What differs so far."""
        unknown: Counter[str] = Counter()
        missing: Counter[str] = Counter()
        required = {name for name, agreed in AGREED.items() if agreed.required}
        for shape, count in self._shapes.items():
            unknown.update(dict.fromkeys(set(shape) - set(AGREED), count))
            missing.update(dict.fromkeys(required - set(shape), count))
        lacking = {name for name, count in missing.items() if 2 * count > self._shapes.total()}
        mistyped = {name for name, count in self._mistyped.items() if 2 * count > self._sampled}
        return Drift(
            dict(sorted(unknown.items())),
            dict(sorted(missing.items())),
            dict(sorted(self._examples.items())),
            tuple(sorted(lacking | (mistyped & required))),
        )


def _mistyped(bar: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The agreed fields of a bar whose values are of another type; NULL is none where the field may be absent."""
    for name, agreed in AGREED.items():
        value = bar.get(name)
        fits = isinstance(value, _TYPES[agreed.spark]) and not isinstance(value, bool)
        if name in bar and not fits and (value is not None or agreed.required):
            yield name, value
