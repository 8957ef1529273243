"""Where alerts are kept: SQLite in the home, or the database of ALERT_STORE_URL. Times are UTC seconds since 1970."""

import json
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from crypto_platform.settings import Settings

# Until a writer that waits for another gives up.
BUSY_SECONDS = 30

metadata = sa.MetaData()

# How far a source has read what it takes its alerts from.
cursors = sa.Table(
    "alert_cursors",
    metadata,
    sa.Column("source", sa.String(200), primary_key=True),
    sa.Column("cursor", sa.Text, nullable=False),
)

# A condition from its opening to its recovery.
incidents = sa.Table(
    "alert_episodes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String(200), nullable=False),
    sa.Column("fingerprint", sa.String(500), nullable=False),
    sa.Column("severity", sa.Integer, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("recovered_at", sa.Double),
    sa.Column("alert", sa.Text, nullable=False),
    sa.Column("acknowledged_at", sa.Double),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("note", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index(
    "alert_one_open_episode",
    incidents.c.fingerprint,
    unique=True,
    sqlite_where=incidents.c.recovered_at.is_(None),
    postgresql_where=incidents.c.recovered_at.is_(None),
)

# What to send of an incident on a channel; `post` is the same for all that were sent in one post.
messages = sa.Table(
    "alert_messages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("channel", sa.String(50), nullable=False),
    sa.Column("episode", sa.ForeignKey(incidents.c.id), nullable=False, key="incident"),
    sa.Column("event", sa.String(20), nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("error", sa.Text),
    sa.Column("sent_at", sa.Double),
    sa.Column("post", sa.String(32)),
    sa.Index("alert_messages_by_episode", "incident", "channel"),
    sa.Index("alert_messages_by_channel", "channel", "sent_at"),
    sqlite_autoincrement=True,
)

# What is not sent for a time; an empty feed, kind or fingerprint is any.
silences = sa.Table(
    "alert_silences",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("ends_at", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("feed", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

# A channel that was ever configured. Whoever holds the lease posts.
channels = sa.Table(
    "alert_channels",
    metadata,
    sa.Column("name", sa.String(50), primary_key=True),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("lease_until", sa.Double, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("retry_at", sa.Double, nullable=False, default=0),
    sa.Column("digest_at", sa.Double, nullable=False, default=0),
    sa.Column("error", sa.Text),
)


def engine(settings: Settings) -> sa.Engine:
    """The database, with its tables."""
    if settings.alert_store_url:
        return _engine(settings.alert_store_url.get_secret_value())
    settings.crypto_platform_home.mkdir(parents=True, exist_ok=True)
    return _engine(f"sqlite:///{settings.crypto_platform_home / 'alerts.db'}")


@lru_cache(maxsize=8)
def _engine(url: str) -> sa.Engine:
    made = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS} if url.startswith("sqlite") else {})
    if made.dialect.name == "sqlite":
        sa.event.listen(made, "connect", _prepare)
        sa.event.listen(made, "begin", _begin)
    try:
        metadata.create_all(made)
    except (IntegrityError, OperationalError, ProgrammingError):
        # Another process made them at the same time; Postgres says so by a name that is in its catalogue twice.
        metadata.create_all(made)
    _upgrade(made)
    return made


def _upgrade(made: sa.Engine) -> None:
    """Give a store of 0.1.0 the columns that came since, and its alerts today's names."""
    fields = {"what": "summary", "since": "started_at", "effect": "impact", "data": "data_source"}
    fields["command"] = "remediation"
    events = {"alert": "firing", "still open": "reminder", "worse": "escalated", "recovery": "resolved"}
    e, m = incidents.c, messages.c
    # Another process may add them at the same time. SQLite has no such words; its transactions wait for one another.
    unless_there = "IF NOT EXISTS " if made.dialect.name == "postgresql" else ""
    with made.begin() as connection:
        present = {column["name"] for column in sa.inspect(connection).get_columns(incidents.name)}
        for column in incidents.columns:
            if column.name not in present:
                kind = column.type.compile(made.dialect)
                definition = f"ADD COLUMN {unless_there}{column.name} {kind}"
                connection.execute(sa.text(f"ALTER TABLE {incidents.name} {definition}"))
        for row in connection.execute(sa.select(e.id, e.alert).where(e.alert.contains('"what":'))).all():
            alert = json.loads(row.alert)
            if "what" in alert:
                renamed = json.dumps({fields.get(name, name): value for name, value in alert.items()})
                connection.execute(incidents.update().where(e.id == row.id).values(alert=renamed))
        for old, new in events.items():
            connection.execute(messages.update().where(m.event == old).values(event=new))


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: sa.Connection) -> None:
    """Writers wait for one another from the start: one that began as a reader would fail instead."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
