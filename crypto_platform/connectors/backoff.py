"""How long what failed waits before it is tried again: everywhere the same, with tenacity's arithmetic."""

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_exponential_jitter

LONGEST_SECONDS = 30.0


def backoff(first: float, longest: float = LONGEST_SECONDS) -> wait_exponential_jitter:
    """For `tenacity.Retrying`: about `first` seconds, then twice as long each time, `longest` at most.

    Up to `first` seconds are by chance, so that those who failed together do not come again together.
    """
    return wait_exponential_jitter(multiplier=first, max=longest, jitter=first)


def seconds_after(failures: int, first: float = 1.0, longest: float = LONGEST_SECONDS) -> float:
    """The same wait, for loops of their own: that after so many failures in a row, 1 or more."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return backoff(first, longest)(state)
