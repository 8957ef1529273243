"""What a warehouse costs, by the prices' documentation: https://docs.snowflake.com/en/user-guide/cost-understanding-compute.

What it did cost is in Snowflake's metering, hours later: `crypto-platform snowflake costs`.
"""

# As the set-up makes warehouses.
SIZE = "X-Small"
AUTO_SUSPEND_SECONDS = 60
# Billed each time that a warehouse wakes, at the least.
MINIMUM_SECONDS = 60
# By the size that SHOW WAREHOUSES tells; larger ones double on.
CREDITS_AN_HOUR = {
    "X-Small": 1,
    "Small": 2,
    "Medium": 4,
    "Large": 8,
    "X-Large": 16,
    "2X-Large": 32,
    "3X-Large": 64,
    "4X-Large": 128,
}


def credits_of(working_seconds: float, size: str = SIZE) -> float:
    """The credits of a warehouse that wakes once, works for so many seconds and is suspended.

    Raises:
        KeyError: the size has no price here.
    """
    return max(MINIMUM_SECONDS, working_seconds + AUTO_SUSPEND_SECONDS) / 3_600 * CREDITS_AN_HOUR[size]
