"""Why something cannot be read; each message names what was asked for and what to do."""


class ReadError(Exception):
    """What was asked for cannot be read."""


class RangeError(ReadError, ValueError):
    """A time without a zone, one that does not exist yet, or an end before its start."""


class UnknownNameError(ReadError, ValueError):
    """There is no such symbol, timeframe, feed, column or adjustment."""


class AmbiguousFeedError(ReadError, ValueError):
    """Several feeds have the symbol's bars, and nothing says which are meant."""


class WarehouseError(ReadError, RuntimeError):
    """Snowflake, or the emulator, does not answer or refuses."""


class CoverageWarning(UserWarning):
    """Another feed has bars of the range that the chosen one has not."""
