"""Text without what the settings and this machine's environment hold, for a report that leaves the machine.

Whatever a setting is set to, secret or not, stands as the setting's name: a setting that is added later is covered as
it comes. What libraries take from the environment, such as AWS_SECRET_ACCESS_KEY, is known by its name.
"""

import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr

from crypto_platform.settings import PROJECT_ROOT, Settings, is_loopback

# Settings whose values are no one's: a report may say them.
_SAID = re.compile(r"data_origin|kafka_(security_protocol|sasl_mechanism)|sandbox_(java|\w+_memory)\w*|listen_address")
# A shorter one is no secret, and would be found in every other word.
_SHORTEST = 3
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|AUTH", re.IGNORECASE)
# What no setting holds word for word.
_PATTERNS = (
    (re.compile(r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|\Z)", re.DOTALL), "<key>"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), "<token>"),
    (re.compile(r"(?<=://)[^/\s@<>]+@"), "<login>@"),
    (re.compile(r"[\w.-]+\.snowflakecomputing\.(com|cn)", re.IGNORECASE), "<account>"),
    (re.compile(r"(?i)\b((?:password|passphrase|secret|token|api[_-]?key)\s*[=:]\s*)[^\s,;&<>]+"), r"\1<secret>"),
)


class Redaction:
    """Of settings: of everything that is set otherwise than by default, and of what may be said of it alone."""

    def __init__(self, settings: Settings) -> None:
        self._names: dict[str, str] = {}
        found: dict[str, str] = {}
        for value, name, is_secret in (*_of_settings(settings), *_of_environment(), *_of_machine()):
            for form in {value, quote(value, safe=""), quote_plus(value), unquote(value)}:
                if len(form) >= _SHORTEST and form.casefold() not in self._names:
                    self._names[form.casefold()] = name
                    # A name may be part of a word; a secret is one wherever it stands.
                    found[form] = re.escape(form) if is_secret else rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
        # The longest first, since one may hold another. Snowflake answers in capitals.
        patterns = [found[form] for form in sorted(found, key=len, reverse=True)]
        self._values = re.compile("|".join(patterns), re.IGNORECASE)

    def text(self, text: str) -> str:
        """The text with `<NAME>` in place of each value."""
        text = self._values.sub(lambda found: f"<{self._names.get(found[0].casefold(), 'setting')}>", text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


Found = Iterator[tuple[str, str, bool]]


def _of_settings(settings: Settings) -> Found:
    """Value, name, and whether it is a secret."""
    for field, definition in type(settings).model_fields.items():
        value = getattr(settings, field)
        is_secret = isinstance(value, SecretStr)
        if is_secret:
            value = value.get_secret_value()
        elif not isinstance(value, str | Path) or value == definition.default or _SAID.fullmatch(field):
            continue
        yield from ((part, field.upper(), is_secret) for part in _parts(field, str(value)))


def _parts(field: str, value: str) -> Iterator[str]:
    """A value, and what of it may be said alone: items of a list, lines, hosts, logins and parts of a URL."""
    yield value
    # An account without its organisation, a locator without its region.
    yield from value.split("." if field == "snowflake_account" else None)
    if field == "snowflake_account":
        yield from value.replace(".", "-").split("-")
        yield value.replace("-", "_")
    for item in re.split(r"[\s,]+", value):
        yield item
        if "://" in item or re.fullmatch(r"[\w.-]+:\d+", item):
            address = urlsplit(item if "://" in item else f"//{item}")
            if address.hostname and not is_loopback(address.hostname):
                yield address.hostname
            yield from (part for part in (address.username, address.password) if part)
            yield from (part for part in re.split(r"[/&;?=]", f"{address.path}?{address.query}") if len(part) > 7)


def _of_environment() -> Found:
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and name.lower() not in Settings.model_fields and len(value) > 7:
            yield value, name, True


def _of_machine() -> Found:
    yield str(PROJECT_ROOT), "checkout", False
    yield str(Path.home()), "home", False
    yield socket.gethostname(), "host", False
    # A user may have no name.
    with suppress(OSError, KeyError):
        yield getpass.getuser(), "user", False
