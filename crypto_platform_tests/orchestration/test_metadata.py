from crypto_platform.orchestration.metadata import NAMED, by_symbol


def test_symbols_are_named_as_long_as_they_are_few() -> None:
    few = {f"S{n}": n % 3 for n in range(NAMED)}
    assert by_symbol("bars", few) == {"bars_by_symbol": few}
    assert by_symbol("bars", {**few, "ONE": 0}) == {"symbols_with_bars": 66, "symbols_without_bars": 35}
    assert by_symbol("actions", {}) == {"actions_by_symbol": {}}
