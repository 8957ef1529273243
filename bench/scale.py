"""dbt over many symbols and long histories: how the first build grows with symbols, and a day's increment with history.

The ledger is filled with simulated 15-minute bars of stocks by COPY; the API, Kafka and Spark have no part in it.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from bench.models import build
from crypto_platform.connectors.snowflake import schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.market.bars import BARS
from crypto_platform.market.sessions import nyse
from crypto_platform.settings import Settings

FEED = "us_equity"
FEW, MANY = 100, 1_000
# Sessions in 82 days.
SHORT, LONG = 56, 560
LAST = date(2026, 6, 1)
TARGET_FIRST_SECONDS, TARGET_SYMBOLS, TARGET_HISTORY = 90.0, 11.0, 1.15


def scale(settings: Settings, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of dbt from its launch to its end; of increments the median of as many days as there are runs."""
    builds = {}
    for symbols, sessions in ((FEW, SHORT), (MANY, SHORT), (FEW, LONG)):
        tell(f"scale: {symbols:,} symbols x {sessions} sessions")
        builds[symbols, sessions] = _builds(settings, symbols, sessions, runs)
    few, many, long = builds.values()
    return {
        "symbols": [FEW, MANY],
        "sessions": [SHORT, LONG],
        "bars": [found["bars"] for found in (few, many, long)],
        "first": [found["first"] for found in (few, many, long)],
        "increment": [found["increment"] for found in (few, many, long)],
        "symbols_ratio": many["first"] / few["first"],
        "history_ratio": long["increment"] / few["increment"],
        "target_first": TARGET_FIRST_SECONDS,
        "target_symbols_ratio": TARGET_SYMBOLS,
        "target_history_ratio": TARGET_HISTORY,
    }


def _builds(settings: Settings, symbols: int, sessions: int, runs: int) -> dict[str, Any]:
    """The first build of a database of its own, and that of each session after it."""
    own = settings.model_copy(update={"snowflake_database": f"SCALE_{symbols}_{sessions}"})
    days = [day.date() for day in nyse().sessions_window(pd.Timestamp(LAST), -sessions)]
    later = [day.date() for day in nyse().sessions_window(nyse().next_session(pd.Timestamp(days[-1])), runs)]
    with connect(own) as connection:
        for feed in ("crypto", "us_equity", "us_equity_daily"):
            schema.ensure_schema(connection, feed)
    bars = _load(own, symbols, days)
    first = build(own)
    increments = []
    for day in later:
        _load(own, symbols, [day])
        increments.append(build(own, day))
    return {"bars": bars, "first": first, "increment": median(increments)}


def _load(settings: Settings, symbols: int, days: list[date]) -> int:
    """Add the bars of the sessions to the ledger as one load; returns how many."""
    opens = [nyse().session_open(pd.Timestamp(day)).tz_localize(None) for day in days]
    starts = np.array(
        [opening + pd.Timedelta(minutes=15 * n) for opening in opens for n in range(26)], "datetime64[us]"
    )
    names = np.array([f"S{number:05d}" for number in range(symbols)])
    rng = np.random.default_rng(days[0].toordinal())
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, (symbols, len(starts))), axis=1))
    opening = np.concatenate([closes[:, :1], closes[:, :-1]], axis=1)
    frame = pd.DataFrame(
        {
            "symbol": np.repeat(names, len(starts)),
            "timeframe": "15Min",
            "bar_start": np.tile(starts, symbols),
            "open": opening.ravel(),
            "high": np.maximum(opening, closes).ravel() * 1.001,
            "low": np.minimum(opening, closes).ravel() * 0.999,
            "close": closes.ravel(),
            "volume": rng.integers(100, 100_000, closes.size).astype(float),
            "trade_count": rng.integers(1, 1_000, closes.size),
            "vwap": ((opening + closes) / 2).ravel(),
        }
    )
    now = pd.Timestamp.now("UTC").tz_localize(None)
    frame = frame.assign(
        source="rest",
        observed_at=now.as_unit("us"),
        kafka_topic=BARS.topic(FEED),
        kafka_partition=0,
        kafka_offset=range(len(frame)),
        load_id=f"scale_{days[0]}",
        loaded_at=now.as_unit("us"),
    )
    file = Path(settings.crypto_platform_home) / "scale.parquet"
    frame.to_parquet(file, index=False)
    with connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TEMPORARY STAGE IF NOT EXISTS RAW.SCALE")
        cursor.execute(f"PUT 'file://{file}' @RAW.SCALE AUTO_COMPRESS = FALSE")
        cursor.execute(
            f"COPY INTO {BARS.ledger(FEED)} FROM @RAW.SCALE FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) "
            "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE PURGE = TRUE",
            timeout=settings.snowflake_statement_timeout,
        )
    file.unlink()
    return len(frame)
