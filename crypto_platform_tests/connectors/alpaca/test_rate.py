import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.connectors.alpaca.rate import LONGEST_WINDOW, RateLimit


class Waits(threading.Event):
    """A stop event on which waiting takes no time but moves the clock."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        self.now += timeout
        return False


def headers(remaining: object, reset: object) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(reset)}


def limit(now: float = 1000.0) -> tuple[RateLimit, Waits]:
    waits = Waits(now)
    return RateLimit(clock=lambda: waits.now), waits


def test_calls_go_out_until_none_is_left_then_after_the_reset() -> None:
    rate, waits = limit()
    rate.note(200, headers(2, 1030))
    rate.wait(waits)
    rate.wait(waits)
    assert waits.waited == []
    rate.wait(waits)
    assert waits.now > 1030
    assert len(waits.waited) == 1


def test_a_429_stops_all_calls_until_the_reset() -> None:
    rate, waits = limit()
    rate.note(200, headers(100, 1030))
    rate.note(429, headers(100, 1030))
    rate.wait(waits)
    assert waits.now > 1030


def test_an_answer_of_the_last_window_does_not_spend_this_ones_calls() -> None:
    rate, waits = limit()
    rate.note(200, headers(5, 1060))
    rate.note(200, headers(0, 1000))
    rate.wait(waits)
    assert waits.waited == []


def test_a_stop_ends_the_wait() -> None:
    rate, _ = limit()
    rate.note(429, headers(0, 1030))
    stop = threading.Event()
    stop.set()
    rate.wait(stop)


@pytest.mark.parametrize("unreadable", [{}, headers("many", 1030), headers(0, "soon"), headers("", "")])
def test_unreadable_headers_teach_nothing(unreadable: dict[str, str]) -> None:
    rate, waits = limit()
    rate.note(429, unreadable)
    rate.wait(waits)
    assert waits.waited == []


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 10**11)), max_size=20))
def test_no_wait_is_longer_than_a_window(answers: list[tuple[int, int]]) -> None:
    rate, waits = limit()
    for remaining, reset in answers:
        rate.note(200, headers(remaining, reset))
    for _ in range(3):
        rate.wait(waits)
    assert all(seconds <= LONGEST_WINDOW + 1 for seconds in waits.waited)
