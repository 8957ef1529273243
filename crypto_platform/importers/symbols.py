"""Vendors' spellings of symbols, as Alpaca writes them: BTC/USD, AAPL, BRK.B."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from crypto_platform.importers.layout import Format
from crypto_platform.market.bars import AssetClass
from crypto_platform.sandbox.alpaca.recordings import QUOTE_CURRENCIES, symbol_of

# https://support.kraken.com/articles/360001206766-bitcoin-currency-code-xbt-vs-btc: Kraken's own codes.
_KRAKEN_CODES = {"XBT": "BTC", "XDG": "DOGE"}
# Kraken's older pairs have an X before a coin and a Z before a currency: XXBTZUSD.
_KRAKEN_PREFIXED = re.compile(r"X([A-Z]{3,4})(?:Z([A-Z]{3})|X(XBT|ETH))")


def known(text: str, asset_class: AssetClass | None = None) -> tuple[str, AssetClass]:
    """A symbol as Alpaca writes it, and its class.

    Raises:
        ValueError: it cannot be told which symbol is meant, or it is not of `asset_class`.
    """
    symbol, found = symbol_of(text)
    if asset_class and found != asset_class:
        raise ValueError(f"{text!r} is no symbol of the class {asset_class}")
    return symbol, found


def pair(text: str) -> str:
    """BTC-USD, BTC_USDT, btcusdt."""
    return text.upper().replace("-", "/").replace("_", "/")


def kraken(text: str) -> str:
    """XBTUSD, XXBTZUSD, XBT/USD, with Kraken's own codes as others write them."""
    prefixed = _KRAKEN_PREFIXED.fullmatch(text)
    if prefixed:
        text = f"{prefixed[1]}/{prefixed[2] or prefixed[3]}"
    for code, usual in _KRAKEN_CODES.items():
        text = re.sub(rf"^{code}(?=.)|(?<=.){code}$", usual, text)
    return text


def ticker(text: str) -> str:
    """A US share as Yahoo and Stooq write it: BRK-B is BRK.B; BTC-USD is a pair."""
    text = text.upper()
    base, _, suffix = text.partition("-")
    if suffix in QUOTE_CURRENCIES:
        return f"{base}/{suffix}"
    return f"{base}.{suffix}" if len(suffix) == 1 else text


def yahoo(text: str) -> str:
    """As `ticker`; what comes after a dot is another exchange: SAP.DE."""
    return _foreign(text) if "." in text else ticker(text)


def alpha_vantage(text: str) -> str:
    """BRK.B or BRK-B; TSCO.LON is of another exchange."""
    return _foreign(text) if re.search(r"\.[A-Z]{2,}$", text.upper()) else ticker(text)


def stooq(text: str) -> str:
    """AAPL.US, BTCUSD, BTC.V; other suffixes are of other exchanges."""
    text = text.upper()
    if text.endswith(".V"):
        return f"{text[:-2]}/USD"
    if text.endswith(".US"):
        return ticker(text[:-3])
    return _foreign(text) if "." in text else text


def _foreign(text: str) -> str:
    raise ValueError(f"{text!r} is of another exchange than New York's")


@dataclass
class Naming:
    """Which symbol a file's bars get: `renamed` by the vendor's spelling, `only` for files of one symbol."""

    only: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    # What `only` stands for, once a file has said it: bars of two symbols never become one's.
    _meant: str | None = None

    def of(self, vendors: str | None, format: Format) -> tuple[str, AssetClass]:
        """The symbol and its class, of the vendor's spelling; None: the file has none.

        Raises:
            ValueError: it is not known; says the option.
        """
        if vendors is not None and vendors in self.renamed:
            found = known(self.renamed[vendors])
        elif self.only is not None:
            self._meant = self._meant or vendors
            if vendors not in (None, self._meant):
                raise ValueError(
                    f"--symbol {self.only} stands for {self._meant}, and this is {vendors}: "
                    f"say both, --symbol {self._meant}={self.only} --symbol {vendors}=…"
                )
            found = known(self.only)
        elif vendors is None:
            raise ValueError("its symbol is not in it: say it with --symbol, as in --symbol BTC/USD")
        else:
            try:
                return known(format.symbol(vendors), format.asset_class)
            except ValueError as error:
                raise ValueError(f"{error}: say what it is here with --symbol {vendors}=BTC/USD") from error
        if format.asset_class and found[1] != format.asset_class:
            raise ValueError(f"--symbol {found[0]}: {format.title} is of the class {format.asset_class}")
        return found
