"""Which feeds have a live stream."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.cli.runs import feed_named
from crypto_platform.cli.stream import _as_of_today, _chosen, _streamed
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import Settings


def test_daily_bars_are_left_out_of_the_stream() -> None:
    assert not feed_named("us_equity_daily").is_streamed
    assert set(_chosen(None)) - set(_streamed(_chosen(None), named=False)) == {"us_equity_daily"}


def test_a_feed_without_a_stream_that_is_named_is_refused_in_words() -> None:
    answer = CliRunner().invoke(app, ["stream", "--feed", "us_equity_daily"])
    assert answer.exit_code == 2
    assert "us_equity_daily has daily bars, which no stream brings" in answer.output


def test_a_universe_is_streamed_as_of_today_and_one_that_cannot_be_read_stops_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "members.csv").write_text("symbol,from,to\nAAPL,,\nTWTR,,2022-10-28\n")
    specs = {
        name: FeedSpec(asset_class="us_equity", universe={"file": tmp_path / f"{name}.csv"}, start_date="2020-01-01")
        for name in ("members", "gone")
    }
    settings = Settings(crypto_platform_home=tmp_path / "home")
    streamed = _as_of_today(settings, specs)
    assert {name: spec.symbols for name, spec in streamed.items()} == {"members": ("AAPL",)}
    assert "gone is not streamed: the universe's file" in capsys.readouterr().err
    with pytest.raises(typer.Exit):
        _as_of_today(settings, {"gone": specs["gone"]})
