"""The live path's troubles as alerts: told once they have lasted, and that they are over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from crypto_platform.alerting.alert import Alert, Kind, Severity
from crypto_platform.alerting.manager import AlertManager
from crypto_platform.settings import Settings

EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Trouble:
    """What is wrong now; it becomes an alert after `patience` seconds. `name` tells it from the source's others."""

    name: str
    kind: Kind
    summary: str
    feed: str = ""
    impact: str = ""
    remediation: str = ""
    patience: float = 60.0


class Teller:
    """Keeps since when each trouble of one source lasts, from before a restart on."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings = settings
        self._source = source
        self._since: dict[str, datetime] | None = None

    def observe(self, troubles: Sequence[Trouble]) -> None:
        """Take all that is wrong now; what is gone has recovered. Posts what is due."""
        now = datetime.now(UTC)
        # Opened at each look: a store that is away when the program starts is no reason to stay silent.
        manager = AlertManager(self._settings)
        if self._since is None:
            told = [incident.alert for incident in manager.open() if incident.source == self._source]
            self._since = {alert.fingerprint.removeprefix(f"{self._source}:"): alert.started_at for alert in told}
        self._since = {t.name: self._since.get(t.name, now) for t in troubles}
        manager.observe(
            self._source,
            [
                Alert(
                    fingerprint=f"{self._source}:{t.name}",
                    kind=t.kind,
                    summary=t.summary,
                    started_at=self._since[t.name],
                    severity=Severity.ERROR,
                    feed=t.feed,
                    impact=t.impact,
                    remediation=t.remediation,
                )
                for t in troubles
                if (now - self._since[t.name]).total_seconds() >= t.patience
            ],
        )
        manager.deliver()
