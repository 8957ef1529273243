"""What a warehouse of the research tests was told and when, and in pandas what its bars are as known at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform_tests.dbt_project.test_adjustment import adjusted, lean_actions, lean_bars
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

# When Alpaca answered.
FIRST, CORRECTED, LATE = (datetime(2026, 6, day, 12, tzinfo=UTC) for day in (1, 2, 3))
MOMENTS = {
    "before": datetime(2026, 5, 31, tzinfo=UTC),
    "first": FIRST,
    "corrected": CORRECTED,
    "late": LATE,
    "now": None,
}
PRICES = ["open", "high", "low", "close", "vwap"]
VALUES = [*PRICES, "volume", "trade_count"]


@dataclass
class Known:
    """Versions of bars and actions by feed, each with `observed_at`."""

    bars: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    actions: dict[str, list[pd.DataFrame]] = field(default_factory=dict)

    def tell(
        self, feed: str, at: datetime, bars: pd.DataFrame | None = None, actions: Sequence[dict[str, Any]] = ()
    ) -> None:
        moment = pd.Timestamp(at).tz_convert(None)
        if bars is not None:
            self.bars.setdefault(feed, []).append(bars.assign(observed_at=moment))
        if actions:
            self.actions.setdefault(feed, []).append(pd.DataFrame(actions).assign(observed_at=moment))

    def load(self, warehouse: Warehouse) -> None:
        for feed, loads in self.bars.items():
            for bars in loads:
                warehouse.load(feed, bars.drop(columns="observed_at"), bars["observed_at"].iloc[0])
        for feed, loads in self.actions.items():
            for actions in loads:
                rows = actions.drop(columns="observed_at").astype(object)
                rows = rows.where(rows.notna(), None)
                warehouse.act(feed, actions["observed_at"].iloc[0], *rows.to_dict("records"))

        with connect(warehouse.settings) as session:
            # Apple's and SPY's days are known to be complete: what is missing of them was not traded.
            for symbol in ("AAPL", "SPY"):
                days = pd.date_range("2025-06-02", "2025-06-20").date
                asked = [RequestedPartition(symbol, day, FIRST, 0) for day in days]
                record(session, "us_equity", "15Min", asked, "run")

    def raw(self, feed: str, symbol: str, as_of: datetime | None) -> pd.DataFrame:
        """The newest version of each base bar."""
        key = ["symbol", "bar_start"]
        bars = _known(pd.concat(self.bars[feed]), as_of).drop_duplicates(key, keep="last")
        bars = bars.reindex(columns=[*key, *VALUES])
        return bars[bars["symbol"] == symbol].sort_values("bar_start", ignore_index=True)

    def applied(self, feed: str, symbol: str, as_of: datetime | None) -> pd.DataFrame:
        """The newest version of each action; all of them are told to be applied."""
        actions = _known(pd.concat(self.actions[feed]), as_of) if feed in self.actions else pd.DataFrame()
        if actions.empty:
            return actions
        actions = actions.drop_duplicates(["symbol", "action_type", "ex_date"], keep="last")
        actions = actions[actions["symbol"] == symbol]
        return actions.assign(ex_date=pd.to_datetime(actions["ex_date"]).dt.date)

    def expected(self, feed: str, symbol: str, timeframe: str, adjustment: str, as_of: datetime | None) -> pd.DataFrame:
        """The columns of `MarketData.bars`, `bar_start` with its zone."""
        is_stock = feed != "crypto"
        zone = "America/New_York" if is_stock else "UTC"
        raw = self.raw(feed, symbol, as_of)
        raw["local"] = raw["bar_start"].dt.tz_localize("UTC").dt.tz_convert(zone)
        raw["day"] = raw["local"].dt.date
        days = daily(raw, is_stock and feed != "us_equity_daily")
        bars = days if timeframe == "1Day" else rolled(raw, timeframe)
        factors = adjusted(
            pd.DataFrame({"bar_start": pd.to_datetime(days["day"]), "close": days["close"], "volume": 1.0}),
            self.applied(feed, symbol, as_of),
        )
        split = bars["day"].map(factors["split"]).to_numpy() if adjustment != "raw" else 1.0
        total = bars["day"].map(factors["total"]).to_numpy() if adjustment == "all" else 1.0
        result = bars.assign(**{price: bars[price] * split * total for price in PRICES}, volume=bars["volume"] / split)
        if timeframe == "1Day":
            starts = pd.to_datetime(result["day"]).dt.tz_localize(zone).dt.tz_convert("UTC")
        else:
            starts = result["bar_start"].dt.tz_localize("UTC")
        result["bar_start"] = starts.astype("datetime64[us, UTC]")
        return result.assign(symbol=symbol)[["symbol", "bar_start", *PRICES[:4], "volume", "trade_count", "vwap"]]


def _known(versions: pd.DataFrame, as_of: datetime | None) -> pd.DataFrame:
    return versions if as_of is None else versions[versions["observed_at"] <= pd.Timestamp(as_of).tz_convert(None)]


def rolled(raw: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Bars of whatever lies in them."""
    freq = {"1Min": "1min", "5Min": "5min", "15Min": "15min", "1Hour": "1h"}[timeframe]
    raw = raw.assign(bar_start=raw["bar_start"].dt.floor(freq))
    return _aggregated(raw, raw, "bar_start")


def daily(raw: pd.DataFrame, has_hours: bool) -> pd.DataFrame:
    """Days of the prices of regular hours and the volume of all."""
    regular = raw
    if has_hours:
        clock = raw["local"].dt.hour * 60 + raw["local"].dt.minute
        regular = raw[(clock >= 9 * 60 + 30) & (clock < 16 * 60)]
    return _aggregated(regular, raw, "day")


def _aggregated(priced: pd.DataFrame, traded: pd.DataFrame, by: str) -> pd.DataFrame:
    functions = {"open": "first", "high": "max", "low": "min", "close": "last", "day": "first"}
    prices = priced.assign(key=priced[by]).groupby("key").agg(functions)
    has_vwap = traded["vwap"] > 0
    weighted = traded.assign(
        key=traded[by],
        money=(traded["vwap"] * traded["volume"]).where(has_vwap),
        weight=traded["volume"].where(has_vwap & (traded["volume"] > 0)),
    )
    sums = weighted.groupby("key")[["volume", "trade_count", "money", "weight"]].sum(min_count=1)
    bars = prices.join(sums, how="left")
    bars["vwap"] = bars["money"] / bars["weight"]
    return bars.rename_axis(by if by == "bar_start" else "key").reset_index()


def told() -> Known:
    """Bitcoin's minutes, corrected and late; Apple's days since 1998 and its quarter hours, with their actions."""
    known = Known()
    bitcoin = recording("BTC-USD_1Min")
    bitcoin = bitcoin[bitcoin["bar_start"] < "2026-03-04"]
    late = (bitcoin["bar_start"] >= "2026-03-02 12:00") & (bitcoin["bar_start"] < "2026-03-02 12:10")
    wrong = bitcoin["bar_start"] == pd.Timestamp("2026-03-03 08:15")
    as_first_version = bitcoin.copy()
    as_first_version.loc[wrong, ["high", "close"]] *= 1.5
    as_first_version.loc[wrong, "volume"] *= 100
    known.tell("crypto", FIRST, as_first_version[~late])
    known.tell("crypto", CORRECTED, bitcoin[wrong])
    known.tell("crypto", LATE, bitcoin[late])

    apple = lean_bars()
    split = pd.Timestamp("2020-08-31").date()
    day_before = apple["bar_start"].dt.date == pd.Timestamp("2020-08-06").date()
    told_wrong = apple.copy()
    # The last close before a dividend, by which its factor is made.
    told_wrong.loc[day_before, ["high", "close"]] *= 1.2
    known.tell("us_equity_daily", FIRST, told_wrong)
    known.tell("us_equity_daily", CORRECTED, apple[day_before])
    actions = lean_actions()
    dividends = [one for one in actions if one["action_type"] == "cash_dividend"]
    amended = {**dividends[-1], "rate": dividends[-1]["rate"] * 3}
    newest = [one for one in actions if pd.Timestamp(one["ex_date"]).date() == split]
    known.tell(
        "us_equity_daily", FIRST, actions=[*(one for one in actions if one not in (*newest, dividends[-1])), amended]
    )
    known.tell("us_equity_daily", CORRECTED, actions=[dividends[-1]])
    known.tell("us_equity_daily", LATE, actions=newest)

    for symbol in ("AAPL", "SPY"):
        quarters = recording(f"{symbol}_15Min")
        known.tell(
            "us_equity",
            FIRST,
            quarters[(quarters["bar_start"] >= "2025-06-02") & (quarters["bar_start"] < "2025-06-21")],
        )
    dividend = {"action_type": "cash_dividend", "symbol": "AAPL", "ex_date": "2025-06-11", "rate": 2.5}
    known.tell("us_equity", CORRECTED, actions=[dividend])
    return known
