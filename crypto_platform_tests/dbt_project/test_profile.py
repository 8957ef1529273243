"""The login of dbt's target `snowflake`, as dbt renders it."""

import os
from argparse import Namespace
from typing import Any

import pytest
import yaml
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context

from crypto_platform.settings import Settings
from crypto_platform.transform.paths import PROJECT_DIR

ACCOUNT = {"SNOWFLAKE_ACCOUNT": "org-account", "SNOWFLAKE_PRIVATE_KEY_FILE": "loader.p8"}
OWN = {
    "SNOWFLAKE_DBT_USER": "SVC_TRANSFORMER",
    "SNOWFLAKE_DBT_PRIVATE_KEY_FILE": "transformer.p8",
    "SNOWFLAKE_DBT_ROLE": "TRANSFORMER",
    "SNOWFLAKE_DBT_WAREHOUSE": "TRANSFORMING",
}


def login(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Any:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    set_from_args(Namespace(LOG_CACHE_EVENTS=False), None)
    set_invocation_context(os.environ)
    profiles = yaml.safe_load((PROJECT_DIR / "profiles.yml").read_text())
    return Profile.from_raw_profiles(profiles, "crypto_platform", ProfileRenderer({})).credentials


def test_without_a_role_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = login(monkeypatch, **ACCOUNT)
    assert (credentials.role, credentials.warehouse) == (None, None)
    assert credentials.user == Settings.model_fields["snowflake_user"].default


def test_a_node_has_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kept one a failed node's DELETE is committed: https://github.com/dbt-labs/dbt-core/issues/12330"""
    assert login(monkeypatch, **ACCOUNT).reuse_connections is False


@pytest.mark.parametrize("own", [{}, OWN], ids=["the platform's", "its own"])
def test_dbt_logs_in_as_the_settings_say(own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    loader = {"SNOWFLAKE_USER": "SVC_LOADER", "SNOWFLAKE_ROLE": "LOADER", "SNOWFLAKE_PRIVATE_KEY_FILE_PWD": "s3cret"}
    credentials = login(monkeypatch, **ACCOUNT, **loader, **own)
    expected = Settings().for_dbt
    passphrase = expected.snowflake_private_key_file_pwd
    assert (credentials.user, credentials.role, credentials.warehouse, credentials.private_key_path) == (
        expected.snowflake_user,
        expected.snowflake_role,
        expected.snowflake_warehouse,
        str(expected.snowflake_private_key_file),
    )
    assert credentials.private_key_passphrase == (passphrase.get_secret_value() if passphrase else "")
