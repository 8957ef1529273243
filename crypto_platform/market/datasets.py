"""Every kind of records there is, by name."""

from crypto_platform.market.bars import BARS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.trading_statuses import TRADING_STATUSES

DATASETS = {dataset.name: dataset for dataset in (BARS, CORPORATE_ACTIONS, TRADING_STATUSES)}
