"""Which feeds have a live stream."""

from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.cli.runs import feed_named
from crypto_platform.cli.stream import _chosen, _streamed


def test_daily_bars_are_left_out_of_the_stream() -> None:
    assert not feed_named("us_equity_daily").is_streamed
    assert set(_chosen(None)) - set(_streamed(_chosen(None), named=False)) == {"us_equity_daily"}


def test_a_feed_without_a_stream_that_is_named_is_refused_in_words() -> None:
    answer = CliRunner().invoke(app, ["stream", "--feed", "us_equity_daily"])
    assert answer.exit_code == 2
    assert "us_equity_daily has daily bars, which no stream brings" in answer.output
