"""fakesnow as it is, for tests that patch it."""

from importlib import import_module
from types import ModuleType

import pytest
from fakesnow import cursor


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """fakesnow's module of that name; what patches replace of it and of the cursors is put back after the test."""
    for name in ("execute", "_transform", "_execute", "_describe_last_sql"):
        monkeypatch.setattr(cursor.FakeSnowflakeCursor, name, getattr(cursor.FakeSnowflakeCursor, name))
    server = import_module("fakesnow.server")
    for module in (server, cursor):
        monkeypatch.setattr(module, "parse_one", module.parse_one)
    return server
