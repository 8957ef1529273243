import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from crypto_platform.market.feed_spec import COMPONENT_TYPE, DEFS, FeedSpec, check_selection, feeds

CRYPTO = FeedSpec(asset_class="crypto", symbols=("BTC/USD", "ETH/USD"), start_date="2025-01-01")


def test_the_two_feeds_of_the_project() -> None:
    assert set(feeds()) >= {"crypto", "us_equity"}
    assert feeds()["crypto"].symbols == ("BTC/USD",)
    assert feeds()["us_equity"].timeframe == "15Min"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"symbols": ["'; drop table x; --"]}, "is not a symbol of asset class crypto"),
        ({"symbols": ["../../etc"]}, "is not a symbol of asset class crypto"),
        ({"symbols": ["AAPL"]}, "write BASE/QUOTE such as BTC/USD"),
        ({"symbols": []}, "at least 1 item"),
        ({"symbols": ["BTC/USD", "BTC/USD"]}, "listed twice: BTC/USD"),
        ({"timeframe": "7Min"}, "is not a base timeframe"),
        ({"adjustment": "all"}, "are for us_equity"),
        ({"start_date": "someday"}, "valid date"),
        ({"universe": {"file": "universe.csv"}}, "both symbols and universe"),
        ({"universe": {}}, "neither a file nor a query"),
        ({"universe": {"file": "universe.csv", "largest": 5}}, "both a file and a query"),
        ({"universe": {"largest": 0}}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"run_minutes": 5}, "run_minutes is now called max_run_minutes"),
    ],
)
def test_a_bad_attribute_is_refused_in_words(attributes: dict, words: str) -> None:
    good = {"asset_class": "crypto", "symbols": ["BTC/USD"], "start_date": "2025-01-01"}
    with pytest.raises(ValueError, match=words.replace("/", ".")):
        FeedSpec.model_validate(good | attributes)


def test_a_feed_has_symbols_or_a_universe_whose_file_is_beside_its_yaml(tmp_path: Path) -> None:
    attributes = {"asset_class": "us_equity", "start_date": "2025-01-01"}
    with pytest.raises(ValueError, match="neither symbols nor a universe: give it one of the two"):
        FeedSpec.model_validate(attributes)
    (tmp_path / "large_caps").mkdir()
    path = tmp_path / "large_caps" / "defs.yaml"
    universe = "universe: {file: members.csv}"
    path.write_text(
        f"type: {COMPONENT_TYPE}\nattributes: {{asset_class: us_equity, start_date: 2025-01-01, {universe}}}\n"
    )
    # Not read before a run needs it: a file that is missing stops its own feed alone.
    spec = feeds.__wrapped__(tmp_path)["large_caps"]
    assert spec.universe
    assert spec.universe.file == tmp_path / "large_caps" / "members.csv"
    assert spec.most_symbols == 0
    spec.universe.file.write_text("AAPL\nMSFT\n")
    assert spec.most_symbols == 2
    assert spec.what == "the members of members.csv"


def test_a_bad_feed_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(DEFS / "crypto", tmp_path / "crypto")
    path = tmp_path / "crypto" / "defs.yaml"
    path.write_text(path.read_text().replace("BTC/USD", "BTC USD"))
    with pytest.raises(ValueError, match=f"(?s){path}: .*BTC USD"):
        feeds.__wrapped__(tmp_path)


def test_a_feed_of_the_type_of_before_stops_with_todays(tmp_path: Path) -> None:
    (tmp_path / "crypto").mkdir()
    (tmp_path / "crypto" / "defs.yaml").write_text("type: crypto_platform.feeds.BarFeed\nattributes: {}\n")
    with pytest.raises(ValueError, match="BarFeed is now called crypto_platform"):
        feeds.__wrapped__(tmp_path)


@contextmanager
def project_with(tmp_path: Path, feed: str, yaml: str) -> Iterator[Path]:
    """The folder of definitions of a project of its own that has one feed."""
    project = tmp_path / "other"
    (project / "other" / "defs" / feed).mkdir(parents=True)
    (project / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "other"\n'
    )
    (project / "other" / "__init__.py").touch()
    (project / "other" / "defs" / "__init__.py").touch()
    (project / "other" / "defs" / feed / "defs.yaml").write_text(yaml)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project))
        # Dagster imports the package, and would find that of the project before.
        for module in [name for name in sys.modules if name.split(".")[0] == "other"]:
            patch.delitem(sys.modules, module)
        yield project / "other" / "defs"


@pytest.mark.parametrize("symbol", ["'; drop table x; --", "../../etc"])
def test_dagster_refuses_a_bad_symbol_at_load_with_its_line(symbol: str, tmp_path: Path) -> None:
    yaml = (DEFS / "crypto" / "defs.yaml").read_text().replace("[BTC/USD]", f'\n    - BTC/USD\n    - "{symbol}"')
    with project_with(tmp_path, "crypto", yaml) as folder, pytest.raises(Exception) as refused:
        dg.ComponentTree.for_project(folder).build_defs(folder)
    said = "".join(traceback.format_exception(refused.value))
    assert "is not a symbol of asset class crypto" in said
    # Dagster's message points at the file and the line of `symbols`.
    line = 1 + yaml.splitlines().index("  symbols: ")
    assert f"defs.yaml:{line}" in said


def test_dagster_loads_a_feed_whose_universe_it_cannot_read(tmp_path: Path) -> None:
    """The run that needs the file says so; the other feeds of the code location go on."""
    yaml = (
        (DEFS / "us_equity" / "defs.yaml")
        .read_text()
        .replace("symbols: [SPY, AAPL, NVDA]", "universe: {file: gone.csv}")
    )
    with project_with(tmp_path, "us_equity", yaml) as folder:
        definitions = dg.ComponentTree.for_project(folder).build_defs(folder)
    (bars,) = (
        asset
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition) and asset.key == dg.AssetKey(["alpaca", "us_equity_alpaca_bars"])
    )
    assert "the members of gone.csv" in bars.descriptions_by_key[bars.key]
    assert "universe_members" in {check.name for check in bars.check_specs}


def test_a_selection_keeps_the_feeds_order_and_names_strangers() -> None:
    assert check_selection("crypto", CRYPTO.symbols, []) == ("BTC/USD", "ETH/USD")
    assert check_selection("crypto", CRYPTO.symbols, ["ETH/USD"]) == ("ETH/USD",)
    assert check_selection("crypto", CRYPTO.symbols, ["ETH/USD", "BTC/USD"]) == ("BTC/USD", "ETH/USD")
    with pytest.raises(ValueError, match="DOGE/USD is not among the symbols of feed crypto"):
        check_selection("crypto", CRYPTO.symbols, ["DOGE/USD"])
