"""What a feed's YAML says, checked as it is loaded."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from crypto_platform.market.bars import BARS, AssetClass, Timeframe, check_symbol
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.dataset import Dataset, check_feed
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.market.universe import UniverseSpec

COMPONENT_TYPE = "crypto_platform.orchestration.feeds.BarFeed"
# What 0.1.0 called them.
RENAMED = {
    "run_minutes": "max_run_minutes",
    "quiet_minutes": "no_trade_tolerance_minutes",
    "mute_seconds": "stream_idle_timeout_seconds",
}
RENAMED_TYPE = "crypto_platform.feeds.BarFeed"
# Symbols that a message names at most.
LISTED = 20
DEFS = Path(__file__).resolve().parents[1] / "defs"


class FeedSpec(BaseModel):
    """The attributes of one `defs/<feed>/defs.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset_class: AssetClass = Field(description="crypto or us_equity")
    symbols: tuple[str, ...] = Field((), min_length=1, description="Symbols as Alpaca writes them: BTC/USD, AAPL")
    universe: UniverseSpec | None = Field(None, description="In place of symbols: who is a member, day by day")
    timeframe: str = Field("1Min", description="Length of the base bars: 1Min, 5Min, 15Min, 1Hour, 1Day, …")
    start_date: date = Field(description="First UTC day to fetch")
    alpaca_feed: Literal["sip", "iex", "boats", "otc"] | None = Field(
        None, description="Stocks only: Alpaca's source of the data; unset: the best one of your plan"
    )
    adjustment: Literal["raw", "split", "dividend", "spin-off", "all"] | None = Field(
        None, description="Stocks only: corporate-action adjustment; unset: raw"
    )
    vendor_delay_minutes: int | None = Field(
        None, ge=0, description="From a bar's end until Alpaca serves it for good; unset: 1 for crypto, 16 for stocks"
    )
    max_run_minutes: int = Field(
        30, ge=1, description="What a day's run, its waiting included, may take until the day counts as late"
    )
    no_trade_tolerance_minutes: int | None = Field(
        None, ge=0, description="How long nobody may trade before a day ends; unset: 10 for crypto, 60 for stocks"
    )

    stream_idle_timeout_seconds: int = Field(
        150, ge=61, description="Silence of all symbols in an open market after which a live stream counts as idle"
    )

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        if isinstance(given, dict) and (old := [name for name in RENAMED if name in given]):
            raise ValueError("; ".join(f"{name} is now called {RENAMED[name]}: rename it" for name in old))
        return given

    @field_validator("symbols")
    @classmethod
    def _symbols(cls, symbols: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "asset_class" in info.data:
            for symbol in symbols:
                check_symbol(symbol, info.data["asset_class"])
        if twice := sorted({s for s in symbols if symbols.count(s) > 1}):
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return symbols

    @field_validator("timeframe")
    @classmethod
    def _timeframe(cls, timeframe: str) -> str:
        return Timeframe.parse(timeframe).name

    @property
    def vendor_delay(self) -> timedelta:
        """How long after a bar's end Alpaca's answer about it is final; stocks without a subscription: 15 minutes."""
        minutes = self.vendor_delay_minutes
        return timedelta(minutes={"crypto": 1, "us_equity": 16}[self.asset_class] if minutes is None else minutes)

    @property
    def is_streamed(self) -> bool:
        """Whether its bars are made of the live stream's minutes; a day's bar is asked for once the day is over."""
        return not Timeframe.parse(self.timeframe).is_daily

    @property
    def quiet(self) -> timedelta:
        """How long before the end of a day's trading its last bar may be."""
        minutes = self.no_trade_tolerance_minutes
        return timedelta(minutes={"crypto": 10, "us_equity": 60}[self.asset_class] if minutes is None else minutes)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The kinds of records that it has: bars, of stocks corporate actions and, where streamed, trading statuses."""
        if self.asset_class == "crypto":
            return (BARS,)
        return (BARS, CORPORATE_ACTIONS, TRADING_STATUSES) if self.is_streamed else (BARS, CORPORATE_ACTIONS)

    @property
    def followed(self) -> tuple[Dataset, ...]:
        """Those that a loader follows; corporate actions come by runs alone."""
        return tuple(dataset for dataset in self.datasets if dataset is not CORPORATE_ACTIONS)

    @property
    def splits_are_in_prices(self) -> bool:
        """Whether the feed's prices jump where shares are split: Alpaca does not adjust them."""
        return CORPORATE_ACTIONS in self.datasets and self.adjustment in (None, "raw", "dividend", "spin-off")

    @property
    def what(self) -> str:
        """Its symbols in words."""
        return f"the members of {self.universe.what}" if self.universe else named(self.symbols)

    @property
    def most_symbols(self) -> int:
        """How many symbols it may have at once; 0 while its universe's file cannot be read."""
        return self.universe.most_symbols(self.asset_class) if self.universe else len(self.symbols)

    def within(self, folder: Path) -> "FeedSpec":
        """The same, the paths in it taken from the feed's folder."""
        return self.model_copy(update={"universe": self.universe.within(folder)}) if self.universe else self

    def of(self, symbols: tuple[str, ...]) -> "FeedSpec":
        """The same with just these symbols, in place of its universe."""
        return self.model_copy(update={"symbols": symbols, "universe": None})

    @model_validator(mode="after")
    def _symbols_or_universe(self) -> "FeedSpec":
        if bool(self.symbols) == bool(self.universe):
            both = "both symbols and universe" if self.symbols else "neither symbols nor a universe"
            raise ValueError(f"the feed has {both}: give it one of the two")
        return self

    @model_validator(mode="after")
    def _stocks_only(self) -> "FeedSpec":
        if self.asset_class == "crypto" and (self.alpaca_feed or self.adjustment):
            raise ValueError("alpaca_feed and adjustment are for us_equity: leave them out for crypto")
        return self


def named(symbols: Sequence[str]) -> str:
    """The symbols in words, the first `LISTED` of them by name."""
    return ", ".join(symbols[:LISTED]) + (f" and {len(symbols) - LISTED:,} more" if len(symbols) > LISTED else "")


def check_selection(name: str, known: Sequence[str], symbols: Sequence[str]) -> tuple[str, ...]:
    """The symbols chosen of those that a feed has, in the feed's order; all of them when none is named.

    Raises:
        ValueError: a symbol is not the feed's; says which are and where to add it.
    """
    if unknown := sorted(set(symbols) - set(known)):
        raise ValueError(
            f"{named(unknown)} is not among the symbols of feed {name} ({named(known)}): "
            f"add it to crypto_platform/defs/{name}/defs.yaml, or to its universe"
        )
    chosen = set(symbols or known)
    return tuple(s for s in known if s in chosen)


@lru_cache(maxsize=1)
def feeds(defs: Path = DEFS) -> dict[str, FeedSpec]:
    """Every feed by name, read from the YAML files under `defs` without loading Dagster's definitions.

    Raises:
        ValueError: a file is not a valid feed; names the file.
    """
    found = {}
    for path in sorted(defs.glob("*/defs.yaml")):
        content = yaml.safe_load(path.read_text())
        if isinstance(content, dict) and content.get("type") == RENAMED_TYPE:
            raise ValueError(f"{path}: the type {RENAMED_TYPE} is now called {COMPONENT_TYPE}: rename it")
        if isinstance(content, dict) and content.get("type") == COMPONENT_TYPE:
            try:
                spec = FeedSpec.model_validate(content["attributes"])
                found[check_feed(path.parent.name)] = spec.within(path.parent)
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}: {error}") from error
    return found
