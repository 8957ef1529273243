"""What is read out of an error."""

import pytest

from crypto_platform.monitoring.scope import command_in


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Republish it: crypto-platform republish --feed crypto", "crypto-platform republish --feed crypto"),
        ("crypto-platform republish --feed crypto. Then wait.", "crypto-platform republish --feed crypto"),
        ("start it with `crypto-platform up --dashboard` or by hand", "crypto-platform up --dashboard"),
        ("(crypto-platform materialize --from 2026-03-01), or wait", "crypto-platform materialize --from 2026-03-01"),
        (
            "see crypto-platform sql \"select 1 where a = 'b', c.\": it is there",
            "crypto-platform sql \"select 1 where a = 'b', c.\"",
        ),
        ("crypto-platform doctor\nand more", "crypto-platform doctor"),
        ("crypto-platform/docs", ""),
        ("nothing helps", ""),
    ],
)
def test_the_command_that_an_error_names(text: str, command: str) -> None:
    assert command_in(text) == command
