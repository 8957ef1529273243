"""Which incidents are open, and which notifications are pending."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from crypto_platform.alerting import silences, store
from crypto_platform.alerting.alert import Alert
from crypto_platform.alerting.channels import Channel, configured
from crypto_platform.alerting.delivery import DeliveryReport, Notifier, enqueue
from crypto_platform.alerting.message import Event
from crypto_platform.settings import Settings

# How long what has recovered is kept, and notifications for a channel that is no longer configured are queued.
RETENTION = timedelta(days=30)
CHANNEL_TTL = timedelta(days=7)


@dataclass(frozen=True)
class Incident:
    """A condition from its opening to its recovery, in UTC; `recovered_at` is None while it is open.

    `note` is of who acknowledged it; `silenced_until` is known of what `AlertManager.open` returns.
    """

    source: str
    alert: Alert
    opened_at: datetime
    recovered_at: datetime | None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    silenced_until: datetime | None = None


@dataclass(frozen=True)
class PendingNotifications:
    """A channel's unsent messages; `error` is why the last one was not sent, if it was not."""

    channel: str
    messages: int
    failures: int
    error: str | None


class AlertManager:
    """The alerts of a home, or of the database of ALERT_STORE_URL; `clock` gives the time in UTC."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        channels: Sequence[Channel] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._channels = configured(settings) if channels is None else channels
        self._engine = store.engine(settings)

    @contextmanager
    def transaction(self, source: str) -> Iterator["AlertTransaction"]:
        """Several changes and the source's cursor in one transaction: all of it is kept, or none."""
        now = self._clock().timestamp()
        with self._engine.begin() as connection:
            names = self._register_channels(connection, now)
            yield AlertTransaction(connection, source, now, names)

    def observe(self, source: str, current: Sequence[Alert], undecided: Collection[str] = ()) -> None:
        """Take `current` for all that is wrong as far as `source` can see; what is `undecided` stays as it is."""
        with self.transaction(source) as transaction:
            transaction.observe(current, undecided)

    def raise_(self, source: str, alert: Alert) -> None:
        """Open the alert, or keep it open."""
        with self.transaction(source) as transaction:
            transaction.raise_(alert)

    def recover(self, source: str, fingerprint: str) -> bool:
        """Close the alert; False when it is not open."""
        with self.transaction(source) as transaction:
            return transaction.recover(fingerprint)

    def open(self) -> list[Incident]:
        """What is wrong now, the worst first, then the oldest."""
        chosen = (
            sa.select(store.incidents)
            .where(store.incidents.c.recovered_at.is_(None))
            .order_by(store.incidents.c.severity.desc(), store.incidents.c.id)
        )
        with self._engine.begin() as connection:
            known, now = silences.read(connection), self._clock()
            found = [incident(row) for row in connection.execute(chosen)]
        return [replace(one, silenced_until=silences.silenced_until(known, one.alert, now)) for one in found]

    def acknowledge(self, fingerprint: str, by: str, note: str = "") -> bool:
        """Send no reminders until it is resolved or escalates; False when it is not open."""
        i, m = store.incidents, store.messages
        this = (i.c.fingerprint == fingerprint) & i.c.recovered_at.is_(None)
        values = {"acknowledged_at": self._clock().timestamp(), "acknowledged_by": by, "note": note}
        with self._engine.begin() as connection:
            reminders = (m.c.event == Event.REMINDER.value) & m.c.sent_at.is_(None)
            connection.execute(m.delete().where(reminders, m.c.incident.in_(sa.select(i.c.id).where(this))))
            return connection.execute(i.update().where(this).values(**values)).rowcount == 1

    def silence(
        self, ends_at: datetime, by: str, note: str = "", feed: str = "", kind: str = "", fingerprint: str = ""
    ) -> int:
        """Send nothing that fires with this feed, kind and fingerprint until `ends_at` (with a zone); its number.

        Raises:
            ValueError: it would match everything, or has ended already.
        """
        now = self._clock()
        if not (feed or kind or fingerprint):
            raise ValueError("A silence needs a feed, a kind or a fingerprint.")
        if ends_at <= now:
            raise ValueError(f"A silence that ended at {ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC silences nothing.")
        values = {"feed": feed, "kind": kind, "fingerprint": fingerprint, "created_by": by, "note": note}
        times = {"created_at": now.timestamp(), "ends_at": ends_at.timestamp()}
        with self._engine.begin() as connection:
            made = connection.execute(store.silences.insert().values(**values, **times))
            return int(made.inserted_primary_key[0])  # type: ignore[index]

    def silences(self) -> list[silences.Silence]:
        """Those that are active, the next to end first."""
        with self._engine.begin() as connection:
            return [silence for silence in silences.read(connection) if silence.is_active(self._clock())]

    def unsilence(self, number: int) -> bool:
        """End the silence now; False when it is not active."""
        s, now = store.silences, self._clock().timestamp()
        with self._engine.begin() as connection:
            ended = s.update().where(s.c.id == number, s.c.ends_at > now).values(ends_at=now)
            return connection.execute(ended).rowcount == 1

    def pending(self) -> list[PendingNotifications]:
        """Channels, by name, with their unsent messages."""
        m, c = store.messages, store.channels
        count = (
            sa.select(sa.func.count())
            .where(m.c.channel == c.c.name, m.c.sent_at.is_(None))
            .scalar_subquery()
            .label("waiting")
        )
        with self._engine.begin() as connection:
            self._register_channels(connection, self._clock().timestamp())
            rows = connection.execute(sa.select(c.c.name, count, c.c.failures, c.c.error).order_by(c.c.name))
            return [PendingNotifications(row.name, row.waiting, row.failures, row.error) for row in rows]

    def deliver(self) -> list[DeliveryReport]:
        """Post what is due on every channel, side by side; what each did. A channel that is down raises nothing."""
        with self._engine.begin() as connection:
            self._register_channels(connection, self._clock().timestamp())
        notifiers = [Notifier(self._engine, channel, self._settings, self._clock) for channel in self._channels]
        if len(notifiers) < 2:
            return [notifier.deliver() for notifier in notifiers]
        with ThreadPoolExecutor(len(notifiers), thread_name_prefix="alerts") as pool:
            return list(pool.map(Notifier.deliver, notifiers))

    def _register_channels(self, connection: sa.Connection, now: float) -> list[str]:
        """The names of all channels; one that is new is notified of what is open."""
        rows = connection.execute(sa.select(store.channels.c.name, store.channels.c.seen_at))
        known: dict[str, float] = {row.name: row.seen_at for row in rows}
        for name in (channel.name for channel in self._channels):
            if name not in known:
                try:
                    with connection.begin_nested():
                        connection.execute(store.channels.insert().values(name=name, seen_at=now))
                        is_open = store.incidents.c.recovered_at.is_(None)
                        for row in connection.execute(sa.select(store.incidents.c.id).where(is_open)).all():
                            enqueue(connection, [name], row.id, Event.FIRING, now)
                except IntegrityError:
                    # Another process registered it just now.
                    pass
            elif now - known[name] > CHANNEL_TTL.total_seconds() / 2:
                connection.execute(store.channels.update().where(store.channels.c.name == name).values(seen_at=now))
            known[name] = now
        return [name for name, seen in known.items() if now - seen < CHANNEL_TTL.total_seconds()]


class AlertTransaction:
    """The changes of one transaction by one source."""

    def __init__(self, connection: sa.Connection, source: str, now: float, channels: Sequence[str]) -> None:
        self._connection = connection
        self._source = source
        self._now = now
        self._channels = channels

    @property
    def cursor(self) -> str | None:
        """How far the source has read; None before it ever said."""
        chosen = sa.select(store.cursors.c.cursor).where(store.cursors.c.source == self._source)
        return self._connection.execute(chosen).scalar()

    @cursor.setter
    def cursor(self, cursor: str) -> None:
        mine = store.cursors.c.source == self._source
        if not self._connection.execute(store.cursors.update().where(mine).values(cursor=cursor)).rowcount:
            self._connection.execute(store.cursors.insert().values(source=self._source, cursor=cursor))

    def open(self) -> list[Incident]:
        """What the source has open, the oldest first."""
        chosen = (
            sa.select(store.incidents)
            .where(store.incidents.c.recovered_at.is_(None), store.incidents.c.source == self._source)
            .order_by(store.incidents.c.id)
        )
        return [incident(row) for row in self._connection.execute(chosen)]

    def observe(self, current: Sequence[Alert], undecided: Collection[str] = ()) -> None:
        """Take `current` for all that is wrong as far as the source can see.

        `undecided` are fingerprints of what it cannot judge now: they stay open or closed as they are.
        """
        for alert in current:
            self.raise_(alert)
        present = {alert.fingerprint for alert in current} | set(undecided)
        for known in self.open():
            if known.alert.fingerprint not in present:
                self.recover(known.alert.fingerprint)

    def raise_(self, alert: Alert) -> None:
        """Open the alert, or keep it open; one that has become worse is sent again."""
        i = store.incidents
        known = self._open(alert.fingerprint)
        if known is None:
            try:
                with self._connection.begin_nested():
                    made = self._connection.execute(
                        i.insert().values(
                            source=self._source,
                            fingerprint=alert.fingerprint,
                            severity=alert.severity,
                            opened_at=self._now,
                            alert=alert.model_dump_json(),
                        )
                    )
            except IntegrityError:
                # Another process opened it just now.
                return
            number = int(made.inserted_primary_key[0])  # type: ignore[index]
            enqueue(self._connection, self._channels, number, Event.FIRING, self._now)
            self._delete_expired()
            return
        # It has been wrong since it was opened.
        current = alert.model_copy(
            update={"started_at": Alert.model_validate_json(known.alert).started_at}
        ).model_dump_json()
        if current == known.alert:
            return
        change: dict[str, object] = {"alert": current}
        if alert.severity > known.severity:
            change |= {"severity": alert.severity, "acknowledged_at": None}
            self._escalate(known.id)
        self._connection.execute(i.update().where(i.c.id == known.id).values(**change))

    def recover(self, fingerprint: str) -> bool:
        """Close the alert; False when it is not open."""
        known = self._open(fingerprint)
        if known is None:
            return False
        i, m = store.incidents, store.messages
        self._connection.execute(i.update().where(i.c.id == known.id).values(recovered_at=self._now))
        waiting = (m.c.incident == known.id) & m.c.sent_at.is_(None)
        self._connection.execute(m.delete().where(waiting, m.c.event == Event.REMINDER.value))
        rows = self._connection.execute(sa.select(m.c.channel).where(m.c.incident == known.id).distinct())
        enqueue(self._connection, [row.channel for row in rows], known.id, Event.RESOLVED, self._now)
        return True

    def _escalate(self, number: int) -> None:
        """Notify at once, also where the alert itself is still held back."""
        m = store.messages
        unsent = (m.c.incident == number) & (m.c.event == Event.FIRING.value) & m.c.sent_at.is_(None)
        held = [row.channel for row in self._connection.execute(sa.select(m.c.channel).where(unsent))]
        self._connection.execute(m.update().where(unsent).values(event=Event.ESCALATED.value))
        enqueue(self._connection, [n for n in self._channels if n not in held], number, Event.ESCALATED, self._now)

    def _open(self, fingerprint: str) -> sa.Row | None:
        i = store.incidents
        chosen = sa.select(i).where(i.c.fingerprint == fingerprint, i.c.recovered_at.is_(None)).with_for_update()
        return self._connection.execute(chosen).first()

    def _delete_expired(self) -> None:
        i, m, s = store.incidents, store.messages, store.silences
        self._connection.execute(s.delete().where(s.c.ends_at < self._now - RETENTION.total_seconds()))
        old = sa.select(i.c.id).where(i.c.recovered_at < self._now - RETENTION.total_seconds())
        self._connection.execute(m.delete().where(m.c.incident.in_(old)))
        self._connection.execute(i.delete().where(i.c.id.in_(old)))


def incident(row: sa.Row) -> Incident:
    """An incident as its row has it."""
    return Incident(
        source=row.source,
        alert=Alert.model_validate_json(row.alert),
        opened_at=datetime.fromtimestamp(row.opened_at, UTC),
        recovered_at=_time(row.recovered_at),
        acknowledged_at=_time(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by or "",
        note=row.note or "",
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
