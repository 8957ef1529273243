"""The keys of the assets that code names; dbt's are `<layer>/<model>` (`dbt.translator`)."""

import dagster as dg

from crypto_platform.market.dataset import Dataset

# A feed's stages in their order, with the asset of each; the last is the table that dbt knows as a source.
_STAGES = {"alpaca": "{feed}_alpaca_bars", "kafka": "{feed}_bars_topic", "raw": "{feed}_bars"}
STAGES = tuple(_STAGES)
# The same stages of a stock feed's corporate actions.
_ACTIONS = {
    "alpaca": "{feed}_alpaca_corporate_actions",
    "kafka": "{feed}_corporate_actions_topic",
    "raw": "{feed}_corporate_actions",
}

FACTS = dg.AssetKey(["marts", "fct_bars"])
ADJUSTED_DAYS = dg.AssetKey(["marts", "fct_bars_1d_adjusted"])
COMPLETENESS = dg.AssetKey(["marts", "fct_completeness"])
GAPS = dg.AssetKey(["marts", "fct_gaps"])
LIVE_PRICES = dg.AssetKey(["marts", "live_prices"])


def stage_key(feed: str, stage: str) -> dg.AssetKey:
    """The asset of a feed's stage, such as `kafka/crypto_bars_topic`."""
    return dg.AssetKey([stage, _STAGES[stage].format(feed=feed)])


def ledger_key(feed: str, dataset: Dataset) -> dg.AssetKey:
    """The asset of a feed's ledger, such as `raw/us_equity_trading_statuses`."""
    return dg.AssetKey(["raw", f"{feed}_{dataset.name}"])


def action_key(feed: str, stage: str) -> dg.AssetKey:
    """The asset of a stage of a stock feed's corporate actions, such as `raw/us_equity_corporate_actions`."""
    return dg.AssetKey([stage, _ACTIONS[stage].format(feed=feed)])
