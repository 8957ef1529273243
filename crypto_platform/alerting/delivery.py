"""Post a channel's pending messages: in order, again until they arrive, held back where they repeat."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from crypto_platform.alerting import silences, store
from crypto_platform.alerting.alert import Alert
from crypto_platform.alerting.channels import (
    REQUESTS_PER_POST,
    Channel,
    ChannelUnavailableError,
    MessageRejectedError,
)
from crypto_platform.alerting.message import Event, Item, Message
from crypto_platform.settings import Settings

RATE_LIMIT_WINDOW = timedelta(minutes=1)
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0
# Beyond the time limit of a post.
LEASE_SECONDS = 15.0


@dataclass
class DeliveryReport:
    """What a delivery did: posts made, and what kept the channel from more."""

    channel: str
    posted: list[str] = field(default_factory=list)
    error: str | None = None


class Notifier:
    """Posts one channel's messages."""

    def __init__(self, engine: sa.Engine, channel: Channel, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._channel = channel
        self._clock = clock
        self._runbooks = settings.alert_runbook_url
        self._hold = settings.alert_cooldown_seconds
        self._remind = settings.alert_repeat_interval_hours * 3600
        self._storm_size = settings.alert_max_per_minute
        self._lease = settings.alert_timeout_seconds * REQUESTS_PER_POST + LEASE_SECONDS

    def deliver(self) -> DeliveryReport:
        """Post what is due, one after another, unless another process is at it or the channel is left in peace."""
        report = DeliveryReport(self._channel.name)
        if not self._claim():
            return report
        try:
            self._post_all(report)
        finally:
            self._change(lease_until=0.0)
        return report

    def _post_all(self, report: DeliveryReport) -> None:
        while message_rows := self._next():
            message, rows = message_rows
            numbers = [row.id for row in rows]
            try:
                self._channel.post(message)
            except MessageRejectedError as refused:
                report.error = str(refused)
                self._put_off(rows, str(refused))
            except ChannelUnavailableError as down:
                report.error = str(down)
                self._leave(numbers, down)
                return
            else:
                report.posted.append(message.title)
                self._note(numbers)

    @property
    def _now(self) -> float:
        return self._clock().timestamp()

    def _claim(self) -> bool:
        c, now = store.channels, self._now
        free = (c.c.name == self._channel.name) & (c.c.lease_until <= now) & (c.c.retry_at <= now)
        with self._engine.begin() as connection:
            return connection.execute(c.update().where(free).values(lease_until=now + self._lease)).rowcount == 1

    def _change(self, **values: object) -> None:
        with self._engine.begin() as connection:
            c = store.channels
            connection.execute(c.update().where(c.c.name == self._channel.name).values(**values))

    def _next(self) -> tuple[Message, Sequence[sa.Row]] | None:
        """The next post, or None when there is nothing to post now."""
        now = self._now
        with self._engine.begin() as connection:
            c = store.channels
            mine = c.c.name == self._channel.name
            connection.execute(c.update().where(mine).values(lease_until=now + self._lease))
            self._queue_reminders(connection, now)
            rows = self._due(connection, now)
            if not rows:
                return None
            if len(rows) + self._recent_posts(connection, now) > self._storm_size:
                last: float = connection.execute(sa.select(c.c.digest_at).where(mine)).scalar_one()
                if now - last < RATE_LIMIT_WINDOW.total_seconds():
                    return None
                connection.execute(c.update().where(mine).values(digest_at=now))
            else:
                rows = rows[:1]
        items = [_item(row, now, self._runbooks) for row in rows]
        return Message(items, key=f"{self._channel.name}-{rows[0].id}-{len(rows)}"), rows

    def _queue_reminders(self, connection: sa.Connection, now: float) -> None:
        m, i = store.messages, store.incidents
        # An unsent message makes the count of all differ from the count of the sent.
        all_sent = sa.func.count(m.c.id) == sa.func.count(m.c.sent_at)
        quiet = (
            sa.select(m.c.incident)
            .join(i, i.c.id == m.c.incident)
            .where(m.c.channel == self._channel.name, i.c.recovered_at.is_(None), i.c.acknowledged_at.is_(None))
            .group_by(m.c.incident)
            .having(all_sent, sa.func.max(m.c.sent_at) <= now - self._remind)
        )
        for row in connection.execute(quiet).all():
            enqueue(connection, [self._channel.name], row.incident, Event.REMINDER, now)

    def _due(self, connection: sa.Connection, now: float) -> list[sa.Row]:
        """What may be posted now, in order, after the repeats have been held back."""
        m, i = store.messages, store.incidents
        unsent = (
            sa.select(m, i.c.fingerprint, i.c.recovered_at, i.c.alert)
            .join(i, i.c.id == m.c.incident)
            .where(m.c.channel == self._channel.name, m.c.sent_at.is_(None))
            .order_by(m.c.id)
        )
        known = silences.read(connection)
        due: list[sa.Row] = []
        held, dropped = set(), set()
        for row in connection.execute(unsent).all():
            if row.incident in dropped:
                continue
            if row.event != Event.RESOLVED and self._is_silenced(row, known, now):
                if row.recovered_at is None:
                    held.add(row.incident)
                elif self._drop_silenced(connection, row):
                    dropped.add(row.incident)
                continue
            if row.event == Event.FIRING:
                held_until = self._last_alert(connection, row.fingerprint, [d.id for d in due], now) + self._hold
                if now < held_until and row.recovered_at is not None:
                    # It came again and went within the window: nobody was notified, nobody need be.
                    connection.execute(m.delete().where(self._of_incident(row)))
                    dropped.add(row.incident)
                    continue
                if now < held_until:
                    held.add(row.incident)
                    continue
            if row.incident in held:
                continue
            if row.due_at > now:
                # A recovery is not sent before its alert.
                held.add(row.incident)
                continue
            due.append(row)
        return due

    def _is_silenced(self, row: sa.Row, known: list[silences.Silence], now: float) -> bool:
        """Whether it is silenced, or was when it was resolved: that may have been some time ago."""
        at = datetime.fromtimestamp(row.recovered_at or now, UTC)
        return bool(known) and silences.silenced_until(known, Alert.model_validate_json(row.alert), at) is not None

    def _drop_silenced(self, connection: sa.Connection, row: sa.Row) -> bool:
        """Send this no more, nor its resolution if the channel has had nothing of the incident; whether it has not."""
        m = store.messages
        of_incident = self._of_incident(row)
        sent = connection.execute(sa.select(m.c.id).where(of_incident, m.c.sent_at.is_not(None))).first()
        connection.execute(m.delete().where(m.c.id == row.id if sent else of_incident))
        return sent is None

    def _of_incident(self, row: sa.Row) -> sa.ColumnElement[bool]:
        """All messages of the row's incident on this channel."""
        return (store.messages.c.incident == row.incident) & (store.messages.c.channel == self._channel.name)

    def _last_alert(self, connection: sa.Connection, fingerprint: str, due: list[int], now: float) -> float:
        """When the channel was last notified that the incident is open; now, if it is about to be."""
        m, i = store.messages, store.incidents
        of_fingerprint = (
            sa.select(m.c.id, m.c.sent_at)
            .join(i, i.c.id == m.c.incident)
            .where(m.c.channel == self._channel.name, i.c.fingerprint == fingerprint)
            .where(m.c.event.in_([Event.FIRING.value, Event.REMINDER.value, Event.ESCALATED.value]))
        )
        times = [now if row.id in due else row.sent_at for row in connection.execute(of_fingerprint)]
        return max((time for time in times if time is not None), default=float("-inf"))

    def _recent_posts(self, connection: sa.Connection, now: float) -> int:
        m = store.messages
        recent = sa.select(sa.func.count(m.c.post.distinct())).where(
            m.c.channel == self._channel.name, m.c.sent_at > now - RATE_LIMIT_WINDOW.total_seconds()
        )
        return connection.execute(recent).scalar_one()

    def _note(self, numbers: list[int]) -> None:
        m, c = store.messages, store.channels
        with self._engine.begin() as connection:
            sent = {"sent_at": self._now, "post": uuid.uuid4().hex, "error": None}
            connection.execute(m.update().where(m.c.id.in_(numbers)).values(**sent))
            well = {"failures": 0, "retry_at": 0.0, "error": None, "seen_at": self._now}
            connection.execute(c.update().where(c.c.name == self._channel.name).values(**well))

    def _put_off(self, rows: Sequence[sa.Row], error: str) -> None:
        """Try these again later, and go on with the others."""
        m = store.messages
        with self._engine.begin() as connection:
            for row in rows:
                later = {
                    "attempts": row.attempts + 1,
                    "due_at": self._now + _wait(row.attempts),
                    "error": error,
                }
                connection.execute(m.update().where(m.c.id == row.id).values(**later))

    def _leave(self, numbers: list[int], down: ChannelUnavailableError) -> None:
        """Leave the channel in peace for a while, the longer the more often it failed."""
        m, c = store.messages, store.channels
        mine = c.c.name == self._channel.name
        with self._engine.begin() as connection:
            attempts = {"attempts": m.c.attempts + 1, "error": str(down)}
            connection.execute(m.update().where(m.c.id.in_(numbers)).values(**attempts))
            failures: int = connection.execute(sa.select(c.c.failures).where(mine)).scalar_one()
            retry_at = self._now + max(_wait(failures), down.retry_after or 0.0)
            later = {"failures": failures + 1, "retry_at": retry_at, "error": str(down), "digest_at": 0.0}
            connection.execute(c.update().where(mine).values(**later))


def enqueue(connection: sa.Connection, channels: Sequence[str], number: int, event: Event, due: float) -> None:
    """Queue the event of the incident for the channels."""
    for name in channels:
        values = {"channel": name, "incident": number, "event": event.value, "due_at": due}
        connection.execute(store.messages.insert().values(**values))


def _wait(failures: int) -> float:
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16), LONGEST_RETRY_SECONDS)


def _item(row: sa.Row, now: float, runbooks: str) -> Item:
    event = Event(row.event)
    at = row.recovered_at if event is Event.RESOLVED else now
    return Item(event, Alert.model_validate_json(row.alert), datetime.fromtimestamp(at, UTC), runbooks)
