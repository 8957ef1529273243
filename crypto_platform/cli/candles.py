"""Candles as text: a column or more a candle, half a line the step of its height, volumes below.

A body is a thin stroke where the price rose and a block where it fell, so that both can be told without colours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

# Of the labels of prices, their mark included.
AXIS = 13
_VOLUMES = " ▁▂▃▄▅▆▇█"
_TICKS = 5
_WIDEST = 3
_RISING, _FALLING = "green", "red"
# By what the upper and the lower half of a line have: nothing, wick or body.
_WICKS = {"  ": " ", "ww": "│", "w ": "╵", " w": "╷"}
_STROKES = _WICKS | {"bb": "┃", "b ": "╹", " b": "╻", "bw": "╿", "wb": "╽"}
_BLOCKS = _WICKS | {"bb": "█", "b ": "▀", " b": "▄", "bw": "▀", "wb": "▄"}


@dataclass(frozen=True)
class Candle:
    """A bar, or some in a row; `start` in UTC, without a zone."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def has_risen(self) -> bool:
        return self.close >= self.open


def draw(candles: Sequence[Candle], width: int, height: int) -> Iterator[Text]:
    """At most `height` lines of at most `width` columns; there are candles, and no more than `width` - `AXIS`."""
    cell = max(1, min(_WIDEST, (width - AXIS) // len(candles)))
    low, high = min(candle.low for candle in candles), max(candle.high for candle in candles)
    rows = max(4, height - 3)
    halves = rows * 2
    size = (high - low) / halves or 1.0
    columns = [_column(candle, low, size, halves) for candle in candles]
    labels = _labels(low, high, rows)
    for row in range(rows):
        line = Text(f"{labels.get(row, ''):>{AXIS - 1}}{'┤' if row in labels else '│'}", style="dim")
        for candle, column in zip(candles, columns, strict=True):
            glyphs = _STROKES if candle.has_risen else _BLOCKS
            # From the top: the upper half of the line first.
            pair = column[halves - 1 - 2 * row] + column[halves - 2 - 2 * row]
            line.append(glyphs[pair].ljust(cell), _RISING if candle.has_risen else _FALLING)
        yield line
    yield _volumes(candles, cell)
    yield from _times(candles, cell, width)


def _column(candle: Candle, low: float, size: float, halves: int) -> str:
    """What each half line has of the candle, the lowest first."""

    def place(price: float) -> int:
        return min(halves - 1, max(0, int((price - low) / size)))

    column = [" "] * halves
    for kind, prices in (("w", (candle.low, candle.high)), ("b", (candle.open, candle.close))):
        for half in range(place(min(prices)), place(max(prices)) + 1):
            column[half] = kind
    return "".join(column)


def _labels(low: float, high: float, rows: int) -> dict[int, str]:
    """Prices by the line that they are in the middle of."""
    step = (high - low) / rows
    digits = min(8, max(2, 1 - math.floor(math.log10(step)))) if 0 < step < 1 else 2
    ticks = sorted({round(place * (rows - 1) / (_TICKS - 1)) for place in range(_TICKS)})
    return {row: f"{high - (row + 0.5) * step:,.{digits}f}" for row in ticks}


def _volumes(candles: Sequence[Candle], cell: int) -> Text:
    most = max(candle.volume for candle in candles) or 1.0
    line = Text(f"{'volume':>{AXIS - 1}}│", style="dim")
    for candle in candles:
        level = math.ceil(candle.volume / most * (len(_VOLUMES) - 1))
        line.append(_VOLUMES[level].ljust(cell), _RISING if candle.has_risen else _FALLING)
    return line


def _times(candles: Sequence[Candle], cell: int, width: int) -> Iterator[Text]:
    """Marks below candles, and the starts of these."""
    has_time = any(candle.start.hour or candle.start.minute for candle in candles)
    form = "%m-%d %H:%M" if has_time else "%Y-%m-%d"
    step = max(1, math.ceil((len(candles[0].start.strftime(form)) + 2) / cell))
    marks, texts = [" "] * width, [" "] * width
    for place in range(0, len(candles), step):
        at = AXIS + place * cell
        text = candles[place].start.strftime(form)
        if at + len(text) <= width:
            marks[at] = "╵"
            texts[at : at + len(text)] = text
    yield Text("".join(marks).rstrip(), style="dim")
    yield Text("".join(texts).rstrip(), style="dim")
