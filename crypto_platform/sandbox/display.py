"""The sandbox in a terminal: its start, line by line, and what runs."""

import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from crypto_platform.sandbox.supervise import ServiceStatus

_STYLES = {"running": "green", "starting": "yellow", "stopping": "yellow", "failed": "red", "external": "cyan"}


def starting(console: Console) -> Callable[[str, str], None]:
    """A listener for `sandbox` that tells what starts, and how many seconds each took until it answered."""
    begun: dict[str, float] = {}

    def show(name: str, event: str) -> None:
        if event == "starting":
            begun[name] = time.monotonic()
            console.print(f"[dim]{name} …[/dim]")
        elif event == "ready" and name in begun:
            console.print(f"[green]✓[/green] {name} answers [dim]({time.monotonic() - begun[name]:.1f} s)[/dim]")

    return show


def status_table(services: Collection[ServiceStatus]) -> Table:
    """A row a service."""
    table = Table()
    for column in ("service", "state", "address", "pid", "since (UTC)"):
        table.add_column(column)
    for service in services:
        style = _STYLES.get(service.state, "dim")
        since = f"{service.since:%Y-%m-%d %H:%M:%S}" if service.since else ""
        state = f"[{style}]{service.state}[/{style}]"
        table.add_row(service.name, state, service.address, str(service.pid or ""), since)
    return table


def status_json(services: Collection[ServiceStatus]) -> list[dict[str, Any]]:
    """The same as JSON's own types."""
    return [asdict(service) | {"since": _iso(service.since)} for service in services]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
