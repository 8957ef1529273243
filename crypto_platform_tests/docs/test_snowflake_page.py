"""The page on setting up Snowflake names nothing that the set-up or the settings do not have."""

import re

import pytest
import typer

from crypto_platform.cli.app import app
from crypto_platform.settings import PROJECT_ROOT, Settings

PAGE = (PROJECT_ROOT / "docs" / "how-to" / "snowflake.md").read_text()
REFERENCE = (PROJECT_ROOT / "docs" / "reference" / "snowflake.md").read_text()


def test_its_options_are_the_command_s() -> None:
    group = typer.main.get_command(app).commands["snowflake"]  # type: ignore[attr-defined]
    parameters = [parameter for command in group.commands.values() for parameter in command.params]
    options = {flag for parameter in parameters for flag in parameter.opts if flag.startswith("--")}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= options


def test_its_settings_are_settings() -> None:
    named = set(re.findall(r"\b(?:SUPERSET_SNOWFLAKE|SNOWFLAKE|STAGE)_[A-Z_]*[A-Z]\b", PAGE))
    assert named <= {name.upper() for name in Settings.model_fields}
    # The table of the logins leaves the rest of a name out.
    for prefix in ("SNOWFLAKE", "SNOWFLAKE_DBT", "SUPERSET_SNOWFLAKE"):
        for rest in ("USER", "ROLE", "WAREHOUSE", "PRIVATE_KEY_FILE"):
            assert f"{prefix}_{rest}".lower() in Settings.model_fields


@pytest.mark.parametrize("pattern", [r"\bSVC_[A-Z]+\b", r"\bMARKET\.[A-Z_.]+[A-Z]\b", r"\b[A-Z]+ADMIN\b"])
def test_its_names_are_the_script_s(pattern: str) -> None:
    named = set(re.findall(pattern, PAGE))
    assert named and all(name in REFERENCE for name in named - {"ADMIN"})
