"""Nothing that a setting is set to is in a text that has gone through it, however it is written there."""

from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from crypto_platform.cli.redaction import _SAID, Redaction
from crypto_platform.settings import Settings


def of_every_setting() -> Settings:
    """Settings of which each text, path and secret is a word of its own."""
    update: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        kind, word = str(field.annotation), f"zq+{name.replace('_', '')}/9"
        if "SecretStr" in kind:
            update[name] = SecretStr(word)
        elif "Path" in kind:
            update[name] = Path("/zq") / name.replace("_", "") / "9"
        elif "str" in kind and "Literal" not in kind and not _SAID.fullmatch(name):
            update[name] = word
    return Settings().model_copy(update=update)


def test_no_setting_is_told() -> None:
    """Those to come are among them: whatever is no number is taken from the model itself."""
    chosen = of_every_setting()
    values = {name: getattr(chosen, name) for name in Settings.model_fields}
    told = {n: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for n, v in values.items() if v is not None}
    told = {name: value for name, value in told.items() if "zq" in value}
    assert len(told) > 50
    forms = [form for value in told.values() for form in (value, value.upper(), quote(value, safe=""))]
    text = " ".join(f"error at '{form}': x{form}x" if "+" in form else form for form in forms)
    assert "zq" in text
    secrets = {name for name, value in values.items() if isinstance(value, SecretStr)}
    found = Redaction(chosen).text(text)
    assert all(f"<{name.upper()}>" in found for name in told)
    alone = Redaction(chosen).text("\n".join(forms))
    assert "zq" not in alone.casefold()
    # A secret within a word too.
    within = Redaction(chosen).text("".join(f"x{told[name]}x" for name in secrets))
    assert "zq" not in within


@pytest.mark.parametrize(
    ("update", "text", "says"),
    [
        (
            {"snowflake_account": "acme-prod.eu-west-1", "snowflake_user": "SVC_LOADER"},
            "250001: https://ACME-PROD.eu-west-1.snowflakecomputing.com refused svc_loader",
            "250001: https://<SNOWFLAKE_ACCOUNT>.snowflakecomputing.com refused <SNOWFLAKE_USER>",
        ),
        (
            {"kafka_bootstrap_servers": "k1.acme.io:9093,k2.acme.io:9093"},
            "k2.acme.io:9093/2: ipv4#10.1.2.3:9093 failed; k1.acme.io does not resolve",
            "<KAFKA_BOOTSTRAP_SERVERS>/2: ipv4#10.1.2.3:9093 failed; <KAFKA_BOOTSTRAP_SERVERS> does not resolve",
        ),
        (
            {"dagster_postgres_url": SecretStr("postgresql://me:p%40ss@db.acme.io/dagster")},
            "password p@ss for me at db.acme.io, postgresql://other:word@elsewhere/x",
            "password <DAGSTER_POSTGRES_URL> for me at <DAGSTER_POSTGRES_URL>, postgresql://<login>@elsewhere/x",
        ),
        (
            {},
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- token=abc eyJhbGciOi.eyJpc3Mi.c2ln",
            "<key> token=<secret> <token>",
        ),
        (
            {"snowflake_role": "LOAD"},
            "load loads what LOADER downloads",
            "<SNOWFLAKE_ROLE> loads what LOADER downloads",
        ),
        ({"data_origin": "recorded"}, "recorded bars, 1,440 in MARKET", "recorded bars, 1,440 in MARKET"),
    ],
)
def test_what_is_made_of_a_setting_stands_as_its_name(update: dict[str, object], text: str, says: str) -> None:
    assert Redaction(Settings().model_copy(update=update)).text(text) == says


def test_what_libraries_take_from_the_environment_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    assert Redaction(Settings()).text("signed by wJalrXUtnFEMI/K7MDENG") == "signed by <AWS_SECRET_ACCESS_KEY>"


def test_home_folders_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    assert Redaction(Settings()).text("/home/jane/keys/x.p8 is gone") == "<home>/keys/x.p8 is gone"
