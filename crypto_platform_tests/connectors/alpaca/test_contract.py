import orjson
import pytest

from crypto_platform.connectors.alpaca.contract import FieldsSeen
from crypto_platform.connectors.alpaca.page import Bars

BAR = {"t": "2026-03-01T00:00:00Z", "o": 1.0, "h": 1, "l": 1.0, "c": 1.0, "v": 0, "n": 3, "vw": 1.0}


def seen(*bars: dict, symbol: str = "BTC/USD") -> FieldsSeen:
    fields = FieldsSeen()
    page: Bars = {symbol: orjson.loads(orjson.dumps(list(bars)))}
    fields.note(page)
    return fields


def without(name: str) -> dict:
    return {n: value for n, value in BAR.items() if n != name}


def test_bars_as_agreed_have_no_drift() -> None:
    drift = seen(BAR, BAR, without("vw"), BAR | {"n": None}).drift()
    assert not drift
    assert drift.says() == ""


def test_a_new_field_is_told_and_stops_nothing() -> None:
    drift = seen(BAR, BAR | {"venue": "X"}, BAR | {"venue": "Y"}).drift()
    assert drift
    assert (drift.unknown, drift.gone) == ({"venue": 2}, ())
    assert drift.says() == "venue is new (2 bars)"


@pytest.mark.parametrize(
    ("bars", "gone"), [((BAR, BAR, without("o")), ()), ((BAR, without("o"), without("o")), ("o",))]
)
def test_a_required_field_is_gone_when_most_bars_lack_it(bars: tuple[dict, ...], gone: tuple[str, ...]) -> None:
    drift = seen(*bars).drift()
    assert drift.gone == gone
    assert "o is missing" in drift.says()


@pytest.mark.parametrize(
    ("field", "value", "gone"), [("c", "1.0", ("c",)), ("c", None, ("c",)), ("n", 1.5, ()), ("v", True, ("v",))]
)
def test_a_field_of_another_type_is_told_with_a_value(field: str, value: object, gone: tuple[str, ...]) -> None:
    drift = seen(BAR | {field: value}, BAR | {field: value}).drift()
    assert drift.mistyped == {field: repr(value)}
    assert drift.gone == gone


def test_pages_add_up() -> None:
    fields = seen(BAR, without("o"))
    fields.note({"ETH/USD": [BAR, BAR | {"x": 1}]})
    drift = fields.drift()
    assert (drift.missing, drift.unknown) == ({"o": 1}, {"x": 1})
