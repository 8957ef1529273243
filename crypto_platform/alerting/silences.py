"""Silences: what fires during one is recorded, and sent when it ends if it still fires."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from crypto_platform.alerting import store
from crypto_platform.alerting.alert import Alert


@dataclass(frozen=True)
class Silence:
    """Alerts of this feed, kind and fingerprint, each empty for any, are not sent in [created_at, ends_at), UTC."""

    id: int
    created_at: datetime
    ends_at: datetime
    created_by: str
    note: str
    feed: str
    kind: str
    fingerprint: str

    def is_active(self, at: datetime) -> bool:
        return self.created_at <= at < self.ends_at

    def matches(self, alert: Alert) -> bool:
        return all(getattr(self, name) in ("", getattr(alert, name)) for name in ("feed", "kind", "fingerprint"))


def read(connection: sa.Connection) -> list[Silence]:
    """All that are kept, those that have ended too, by their end."""
    times = ("created_at", "ends_at")
    rows = connection.execute(sa.select(store.silences).order_by(store.silences.c.ends_at)).mappings()
    return [Silence(**{**row, **{name: datetime.fromtimestamp(row[name], UTC) for name in times}}) for row in rows]


def silenced_until(silences: list[Silence], alert: Alert, at: datetime) -> datetime | None:
    """When the last silence ends that `alert` has at `at`; None when it has none."""
    return max((s.ends_at for s in silences if s.is_active(at) and s.matches(alert)), default=None)
