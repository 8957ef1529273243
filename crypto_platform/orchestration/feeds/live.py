"""What the live path does, as Dagster shows it: an observation of `live_prices` while a loader follows the topics."""

from typing import Any

import dagster as dg
import orjson
import requests

from crypto_platform.connectors.snowflake.statements import DOES_NOT_EXIST
from crypto_platform.market.data_source import label
from crypto_platform.orchestration.asset_keys import LIVE_PRICES
from crypto_platform.orchestration.metadata import records
from crypto_platform.settings import Settings, settings

EVERY_SECONDS = 30
ANSWERS_SECONDS = 2.0
# Symbols whose price is a number of its own, which the UI plots; the table has more.
PLOTTED, LISTED = 20, 200

_PRICES = """
SELECT symbol, last_price, last_price_at, price_age_seconds, change_today, bars_today, source, feed
FROM MARTS.LIVE_PRICES ORDER BY price_age_seconds, symbol
"""


def live_sensor() -> dg.SensorDefinition:
    """The sensor that notes prices and lag; without a loader that answers it looks at nothing."""

    @dg.sensor(
        name="observe_live_prices",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notes the last prices, their age and the loader's lag at marts/live_prices when bars came.",
    )
    def observe(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return evaluate(settings(), context.cursor)

    return observe


def evaluate(settings: Settings, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    """One tick: Snowflake, which is paid for by the minute, is only asked when the loader has loaded something."""
    feeds = _followed(settings)
    if feeds is None:
        return dg.SkipReason(f"no loader answers at {settings.loader_address}: `crypto-platform up --live` starts one")
    loaded = orjson.dumps({name: state["last_load"] for name, state in feeds.items()}).decode()
    if loaded == cursor or not any(state["last_load"] for state in feeds.values()):
        return dg.SkipReason("nothing was loaded since the last look")
    prices = _prices(settings)
    if prices is None:
        return dg.SkipReason("MARTS.LIVE_PRICES is not there yet: the first build of dbt makes it")
    observed = dg.AssetObservation(LIVE_PRICES, metadata=_metadata(prices, feeds, label(settings)))
    return dg.SensorResult(asset_events=[observed], cursor=loaded)


def _followed(settings: Settings) -> dict[str, dict[str, Any]] | None:
    """The loader's health by feed; None: none answers."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(f"{settings.loader_address}/health", timeout=ANSWERS_SECONDS)
            found: dict[str, dict[str, Any]] = answer.json()["feeds"]
        except (requests.RequestException, KeyError):
            return None
    return found


def _prices(settings: Settings) -> list[dict[str, Any]] | None:
    from crypto_platform.connectors.snowflake.query import QueryError, query

    try:
        with query(settings, _PRICES) as found:
            names = [name.lower() for name in found.columns]
            return [dict(zip(names, row, strict=True)) for row in found.rows]
    except QueryError as error:
        if getattr(error.__cause__, "errno", None) == DOES_NOT_EXIST:
            return None
        raise


def _metadata(prices: list[dict[str, Any]], feeds: dict[str, dict[str, Any]], data: str) -> dict[str, Any]:
    """Numbers, which the UI plots over time, and the newest prices as a table."""
    found: dict[str, Any] = {"data": data} if data else {}
    # The same symbols each time, so that their lines go on.
    for price in sorted(prices, key=lambda price: str(price["symbol"]))[:PLOTTED]:
        found[f"last price of {price['symbol']}"] = float(price["last_price"])
        found[f"age of {price['symbol']}, s"] = int(price["price_age_seconds"])
    for name, state in feeds.items():
        found[f"messages of {name} that wait"] = int(state["messages_waiting"])
        if state["seconds_a_load"] is not None:
            found[f"seconds a load of {name}"] = float(state["seconds_a_load"])
        if state["problem"]:
            found[f"problem of {name}"] = str(state["problem"])
    return {**found, "symbols": len(prices), "prices": records(prices[:LISTED])}
