"""`python read.py TOOL FOLDER RESULT`: what a tool reads of an export, as one Parquet file for the tests to compare.

It runs in the environment that `make export-readers` makes, which has nothing of the platform.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = ("symbol", "bar_start", "open", "high", "low", "close", "volume", "trade_count", "vwap")


def duckdb(folder: Path) -> Any:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        files = f"read_parquet('{folder}/bars/**/*.parquet', hive_partitioning = true)"
        return connection.sql(f"select {', '.join(COLUMNS)} from {files}").to_arrow_table()


def pandas(folder: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(folder / "bars").astype({"symbol": "str"})[list(COLUMNS)]


def pandas_csv(folder: Path) -> Any:
    import pandas as pd

    files = sorted((folder / "bars").iterdir())
    frames = [pd.read_csv(file, parse_dates=["timestamp"], float_precision="round_trip") for file in files]
    return pd.concat(frames).rename(columns={"timestamp": "bar_start"})[list(COLUMNS)]


def polars(folder: Path) -> Any:
    import polars as pl

    return pl.scan_parquet(folder / "bars", hive_partitioning=True).select(COLUMNS).collect().to_arrow()


def iceberg(folder: Path) -> Any:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("bars", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
    return catalog.load_table("market.bars").scan().to_arrow()


def nautilus(folder: Path) -> Any:
    """Bars by their end; and that a backtest of them trades."""
    import pandas as pd
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    catalog = ParquetDataCatalog(str(folder))
    _backtest(catalog)
    return pd.DataFrame(
        {
            "symbol": str(bar.bar_type.instrument_id.symbol),
            "bar_start": pd.Timestamp(bar.ts_event, unit="ns", tz="UTC").as_unit("us"),
            **{name: float(getattr(bar, name)) for name in COLUMNS[2:7]},
        }
        for bar in catalog.bars()
    )


def _backtest(catalog: Any) -> None:
    """Buy one of each instrument at its third bar."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money
    from nautilus_trader.trading.strategy import Strategy

    class BuyOnce(Strategy):
        def __init__(self, bar_types: Any) -> None:
            super().__init__()
            self.bar_types = bar_types
            self.seen: dict[Any, int] = {}

        def on_start(self) -> None:
            for bar_type in self.bar_types:
                self.subscribe_bars(bar_type)

        def on_bar(self, bar: Any) -> None:
            seen = self.seen[bar.bar_type] = self.seen.get(bar.bar_type, 0) + 1
            if seen == 3:
                instrument = self.cache.instrument(bar.bar_type.instrument_id)
                order = self.order_factory.market(instrument.id, OrderSide.BUY, instrument.make_qty(1))
                self.submit_order(order)

    bars = catalog.bars()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(Venue("ALPACA"), OmsType.NETTING, AccountType.MARGIN, [Money(10_000_000, USD)], USD)
    for instrument in catalog.instruments():
        engine.add_instrument(instrument)
    engine.add_data(bars)
    strategy = BuyOnce({bar.bar_type for bar in bars})
    engine.add_strategy(strategy)
    engine.run()
    assert sum(strategy.seen.values()) == len(bars)
    assert len(engine.trader.generate_order_fills_report()) == len(strategy.bar_types)


TOOLS: dict[str, Callable[[Path], Any]] = {
    "duckdb": duckdb,
    "pandas": pandas,
    "pandas-csv": pandas_csv,
    "polars": polars,
    "iceberg": iceberg,
    "nautilus": nautilus,
}

if __name__ == "__main__":
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = TOOLS[sys.argv[1]](Path(sys.argv[2]))
    pq.write_table(
        found if isinstance(found, pa.Table) else pa.Table.from_pandas(found, preserve_index=False), sys.argv[3]
    )
