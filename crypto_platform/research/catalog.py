"""Which feed has which symbols, in which timeframes and from when to when."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from difflib import get_close_matches

from crypto_platform.market.bars import Timeframe
from crypto_platform.research.errors import AmbiguousFeedError, CoverageWarning, UnknownNameError

# The marts of bars that are made of shorter ones, by timeframe.
ROLLED_UP = {"5Min": "fct_bars_5m", "15Min": "fct_bars_15m", "1Hour": "fct_bars_1h", "1Day": "fct_bars_1d"}
# Symbols that a message names at most.
NAMED = 10


@dataclass(frozen=True)
class Listing:
    """A feed's symbol, as `dim_symbols` has it; `first` and `last` are the days of its bars, both with a bar."""

    feed: str
    asset_class: str
    symbol: str
    calendar: str
    timeframe: str
    first: date
    last: date

    @property
    def timeframes(self) -> list[str]:
        """The feed's own, and those that are made of it."""
        own = Timeframe.parse(self.timeframe).seconds
        longer = ((name, Timeframe.parse(name).seconds) for name in ROLLED_UP)
        return [self.timeframe, *(name for name, seconds in longer if seconds > own and seconds % own == 0)]


@dataclass(frozen=True)
class Source:
    """What of a feed is read; `is_own` where it is the feed's own timeframe."""

    feed: str
    asset_class: str
    calendar: str
    timeframe: str
    is_own: bool
    symbols: tuple[str, ...]


class Catalog:
    """Every feed's symbols."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self._listings = list(listings)

    @property
    def feeds(self) -> list[str]:
        return sorted({listing.feed for listing in self._listings})

    def of(self, feed: str | None, symbols: str | Sequence[str] | None) -> list[Listing]:
        """The listings of these symbols, or of all, in the feed, or in all.

        Raises:
            UnknownNameError: there is no such feed or symbol; says which come near.
        """
        if feed is not None and feed not in self.feeds:
            raise UnknownNameError(f"there is no feed {feed!r} with bars: {_choice(self.feeds)}")
        listings = [listing for listing in self._listings if feed in (None, listing.feed)]
        if symbols is None:
            return listings
        asked = [symbols] if isinstance(symbols, str) else list(dict.fromkeys(symbols))
        if not asked:
            raise UnknownNameError("no symbols are given: name some, or leave them out for all of a feed")
        known = {listing.symbol for listing in listings}
        if unknown := [symbol for symbol in asked if symbol not in known]:
            where = f"feed {feed!r} has" if feed else "no feed has"
            raise UnknownNameError("; ".join(f"{where} {_unknown(symbol, known, feed)}" for symbol in unknown[:NAMED]))
        return [listing for listing in listings if listing.symbol in set(asked)]

    def sources(
        self, symbols: str | Sequence[str] | None, timeframe: str, feed: str | None, start: datetime, end: datetime
    ) -> list[Source]:
        """Where the bars of [start, end) are read, a source a feed.

        Of several feeds with the symbol in that range it is the one whose own timeframe it is.

        Raises:
            UnknownNameError: there is no such symbol, feed or timeframe.
            AmbiguousFeedError: several feeds make it of shorter bars, or no feed and no symbols are given.
        """
        if symbols is None and feed is None and len(self.feeds) > 1:
            raise AmbiguousFeedError(f"neither symbols nor a feed are given: name either; {_choice(self.feeds)}")
        listings = self.of(feed, symbols)
        first, last = start.date(), max(start, end - timedelta(microseconds=1)).date()
        by_symbol: dict[str, list[Listing]] = {}
        for listing in listings:
            by_symbol.setdefault(listing.symbol, []).append(listing)
        chosen: dict[str, list[Listing]] = {}
        for found in by_symbol.values():
            listing = _chosen(found, timeframe, first, last)
            chosen.setdefault(listing.feed, []).append(listing)
        return [
            Source(
                feed=name,
                asset_class=members[0].asset_class,
                calendar=members[0].calendar,
                timeframe=timeframe,
                is_own=members[0].timeframe == timeframe,
                symbols=tuple(sorted(listing.symbol for listing in members)),
            )
            for name, members in sorted(chosen.items())
        ]


def _chosen(found: list[Listing], timeframe: str, first: date, last: date) -> Listing:
    """Of one symbol's listings that of the feed to read."""
    having = [listing for listing in found if timeframe in listing.timeframes]
    if not having:
        there = dict.fromkeys(name for listing in found for name in listing.timeframes)
        raise UnknownNameError(f"{found[0].symbol} has no bars of timeframe {timeframe!r}: {_choice(there)}")
    inside = [listing for listing in having if listing.first <= last and listing.last >= first] or having
    own = [listing for listing in inside if listing.timeframe == timeframe]
    if len(inside) == 1 or len(own) == 1:
        chosen = (own or inside)[0]
        _warn_of_others(chosen, inside, first, last)
        return chosen
    spans = "; ".join(f"{one.feed} ({one.timeframe} bars, {one.first} to {one.last})" for one in own or inside)
    raise AmbiguousFeedError(f"{found[0].symbol} has {timeframe} bars of several feeds, choose by feed=: {spans}")


def _warn_of_others(chosen: Listing, inside: list[Listing], first: date, last: date) -> None:
    for other in inside:
        begins_before = max(other.first, first) < chosen.first
        ends_after = min(other.last, last) > chosen.last
        if other is not chosen and (begins_before or ends_after):
            warnings.warn(
                f"{chosen.symbol}: these are bars of the feed {chosen.feed}, {chosen.first} to {chosen.last}; "
                f"{other.feed} has others, {other.first} to {other.last}: feed={other.feed!r} reads them",
                CoverageWarning,
                # The caller of MarketData's method.
                stacklevel=6,
            )


def _unknown(symbol: object, known: Iterable[str], feed: str | None) -> str:
    text = str(symbol)
    near = get_close_matches(text.upper(), known, n=3, cutoff=0.6) if text else []
    says = f": is {' or '.join(near)} meant?" if near else ""
    more = "" if near or feed else "; `MarketData.symbols()` lists those there are"
    return f"no symbol {text!r}{says}{more}" if feed else f"{text!r}{says}{more}"


def _choice(names: Iterable[str]) -> str:
    return f"choose from {', '.join(names)}"
