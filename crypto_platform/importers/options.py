"""What a person says of files where they do not say it themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crypto_platform.importers import symbols
from crypto_platform.importers.formats import FORMATS
from crypto_platform.importers.layout import Label
from crypto_platform.sandbox.alpaca.recordings import timeframe_of
from crypto_platform.sandbox.alpaca.timeframes import Timeframe

LastBar = Literal["keep", "drop"]
_WEEK = "10080m"


@dataclass(frozen=True)
class Options:
    """Answers to what a file leaves open. `symbols`: by the vendor's spelling; `symbol`: of all files, which must
    then be of one."""

    format: str | None = None
    symbol: str | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
    timeframe: Timeframe | None = None
    timezone: str | None = None
    label: Label | None = None
    last_bar: LastBar | None = None

    @classmethod
    def of(
        cls,
        format: str | None = None,
        symbol: list[str] | None = None,
        timeframe: str | None = None,
        timezone: str | None = None,
        label: Label | None = None,
        last_bar: LastBar | None = None,
    ) -> "Options":
        """As the command line has them; `symbol`: one such as BTC/USD, or any number such as XBTUSD=BTC/USD.

        Raises:
            ValueError: one of them cannot be; names it and what it takes.
        """
        if format is not None and format not in FORMATS:
            raise ValueError(f"--format {format}: there is none of that name: choose from {', '.join(FORMATS)}")
        plain = [text for text in symbol or [] if "=" not in text]
        if len(plain) > 1:
            raise ValueError(f"--symbol {plain[0]} and {plain[1]}: give one, or say whose: --symbol XBTUSD=BTC/USD")
        renamed = dict(text.split("=", 1) for text in symbol or [] if "=" in text)
        for text in (*plain, *renamed.values()):
            try:
                symbols.known(text)
            except ValueError as error:
                raise ValueError(f"--symbol: {error}") from error
        return cls(
            format,
            symbols.known(plain[0])[0] if plain else None,
            {vendors: symbols.known(own)[0] for vendors, own in renamed.items()},
            _timeframe(timeframe) if timeframe else None,
            _zone(timezone) if timezone else None,
            label,
            last_bar,
        )


def _timeframe(text: str) -> Timeframe:
    try:
        return Timeframe.parse(text)  # before `timeframe_of`, to which 1M is a minute
    except ValueError:
        pass
    try:
        return timeframe_of(text)
    except ValueError as error:
        raise ValueError(f"--timeframe: {error}: write 1Min, 15Min, 1Hour, 1Day or the like") from error


def vendors_timeframe(text: str) -> Timeframe:
    """The timeframe that a vendor writes as minutes or as `timeframe_of` reads it.

    Raises:
        ValueError: the platform has none of that length.
    """
    try:
        return timeframe_of("1w" if text == _WEEK else text)
    except ValueError:
        raise ValueError(f"bars of {text} are of none of the platform's timeframes, 1Min and up") from None


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"--timezone {text}: write a name such as UTC, America/New_York or Europe/Warsaw") from None
