"""What is asked of Alpaca."""

from dataclasses import dataclass
from datetime import date

from crypto_platform.market.bars import AssetClass, Timeframe, check_symbol
from crypto_platform.market.dataset import check_feed

PAGE_BARS = 10_000  # the API's largest page, counted over all symbols of a request


@dataclass(frozen=True)
class BarsRequest:
    """Bars of one feed over the UTC days [start, end).

    `alpaca_feed` (sip, iex, boats, otc) and `adjustment` (raw, split, dividend, spin-off, all) are for stocks
    only; None leaves the choice to Alpaca.

    Raises:
        ValueError: a name is not of its form, a symbol is there twice, or the range is empty.
    """

    feed: str
    asset_class: AssetClass
    symbols: tuple[str, ...]
    timeframe: Timeframe
    start: date
    end: date
    alpaca_feed: str | None = None
    adjustment: str | None = None

    def __post_init__(self) -> None:
        check_feed(self.feed)
        for symbol in self.symbols:
            check_symbol(symbol, self.asset_class)
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"feed {self.feed}: symbols are to be named, each once: {self.symbols}")
        if self.start >= self.end:
            raise ValueError(f"feed {self.feed}: no day in [{self.start}, {self.end})")
