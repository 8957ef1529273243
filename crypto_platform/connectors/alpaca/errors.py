"""What can go wrong with Alpaca, in words that say what to do."""


class AlpacaError(RuntimeError):
    """Alpaca did not give what was asked, or must not be asked."""


class AlpacaConfigError(AlpacaError):
    """The address or the keys are not fit to be used: a setting is to be corrected."""


class NotEntitledError(AlpacaConfigError):
    """The key's plan does not include the data."""


class UnknownSymbolError(AlpacaError):
    """Alpaca does not know `symbol`."""

    def __init__(self, symbol: str, message: str) -> None:
        super().__init__(message)
        self.symbol = symbol


class NothingRecordedError(AlpacaError):
    """The recordings that stand in for Alpaca have no bar of the range, although it has a session."""


class AlpacaUnavailableError(AlpacaError):
    """A page could not be had, or not in good order, however often it was asked for."""


class CancelledError(Exception):
    """The caller no longer wants the page."""


class TransientError(Exception):
    """A fault of one attempt that may be gone at the next; `cause` is its short name."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause
