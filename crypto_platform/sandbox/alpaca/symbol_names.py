"""Under which symbols the company traded that a symbol means on a day, as Alpaca's parameter `asof` asks for it.

https://docs.alpaca.markets/reference/stockbars: as of a day after FB became META, META's bars are FB's too, and FB's
are those with that symbol alone; as of a day before, FB's are META's too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from crypto_platform.sandbox.alpaca.sessions import midnight

_EVER = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class NameChange:
    """From `day` on, `old` trades as `new`."""

    day: date
    old: str
    new: str


@dataclass(frozen=True)
class Span:
    """A symbol from `first` to `last`, both inclusive, ns since the epoch, UTC."""

    symbol: str
    first: int
    last: int


def spans(symbol: str, asof: date | None, changes: Sequence[NameChange]) -> list[Span]:
    """What `symbol` meant on `asof`, the oldest name first; without `asof`, or where it meant nothing then, itself.

    `changes` ascend.
    """
    if asof is None:
        return [Span(symbol, *_EVER)]
    past = [change for change in changes if change.day <= asof]
    last_of_it = next((change for change in reversed(past) if symbol in (change.old, change.new)), None)
    next_of_it = next((change for change in changes[len(past) :] if symbol in (change.old, change.new)), None)
    if (last_of_it and last_of_it.new != symbol) or (next_of_it and next_of_it.new == symbol):
        return [Span(symbol, *_EVER)]
    found = [(symbol, *_EVER)]
    for change in reversed(past):
        name, _, last = found[0]
        if change.new == name:
            began = midnight(change.day, "us_equity")
            found[:1] = [(change.old, _EVER[0], began - 1), (name, began, last)]
        elif change.old == name:  # before, the symbol was another company's
            found[0] = (name, midnight(change.day, "us_equity"), last)
            break
    for change in changes[len(past) :]:
        name, first, _ = found[-1]
        if change.old == name:
            began = midnight(change.day, "us_equity")
            found[-1:] = [(name, first, began - 1), (change.new, began, _EVER[1])]
    return [Span(*span) for span in found]
