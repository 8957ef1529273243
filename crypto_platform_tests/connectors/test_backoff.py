import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.backoff import seconds_after


@given(st.integers(1, 10_000), st.floats(0.01, 5), st.floats(5, 600))
def test_it_waits_ever_longer_and_never_longer_than_the_longest(failures: int, first: float, longest: float) -> None:
    doubled = first * 2.0 ** min(failures - 1, 100)
    assert min(doubled, longest) <= seconds_after(failures, first, longest) <= min(doubled + first, longest)


def test_an_outage_of_hours_is_waited_out() -> None:
    assert seconds_after(5_000) == pytest.approx(30)
