"""Reading what the platform has, from a notebook or a program: `MarketData`.

docs/how-to/research.md has examples.
"""

from crypto_platform.research.errors import (
    AmbiguousFeedError,
    CoverageWarning,
    RangeError,
    ReadError,
    UnknownNameError,
    WarehouseError,
)
from crypto_platform.research.market_data import MarketData

__all__ = [
    "AmbiguousFeedError",
    "CoverageWarning",
    "MarketData",
    "RangeError",
    "ReadError",
    "UnknownNameError",
    "WarehouseError",
]
