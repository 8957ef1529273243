"""What a person reads: one alert, its recovery, or a digest of many."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from crypto_platform.alerting.alert import Alert, Severity

DIGEST_LINES = 40
LONGEST_TITLE = 250


class Event(StrEnum):
    """What happened to an incident, as a message has it."""

    FIRING = "firing"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    TEST = "test"


@dataclass(frozen=True)
class Item:
    """An event of an incident at `at`, UTC: when it was opened or resolved, or the time of the reminder.

    `runbooks` is the folder or URL of the runbooks, ALERT_RUNBOOK_URL.
    """

    event: Event
    alert: Alert
    at: datetime
    runbooks: str

    @property
    def title(self) -> str:
        """How bad or what became of it, what, which feed and which partitions, in one line."""
        alert = self.alert
        where = ", ".join(part for part in (alert.feed, alert.partitions) if part)
        return f"{self._prefix}: {alert.summary}{f' · {where}' if where else ''}"[:LONGEST_TITLE]

    @property
    def _prefix(self) -> str:
        word = self.alert.severity.word.upper()
        return {
            Event.FIRING: word,
            Event.REMINDER: f"{word}, still firing after {duration(self.at - self.alert.started_at)}",
            Event.ESCALATED: f"{word}, escalated",
            Event.RESOLVED: f"RESOLVED after {duration(self.at - self.alert.started_at)}",
            Event.TEST: "TEST",
        }[self.event]

    @property
    def runbook(self) -> str:
        """The page that says what to do about alerts of this kind."""
        return f"{self.runbooks.rstrip('/')}/{self.alert.kind.replace(' ', '-')}.md"

    def lines(self) -> Iterator[tuple[str, str]]:
        """Name and value of what follows the title."""
        alert, recovered = self.alert, self.event is Event.RESOLVED
        until = f" until {_clock(self.at)}" if recovered else ""
        yield "since", f"{_clock(alert.started_at)}{until} UTC"
        if not recovered:
            yield "severity", alert.severity.word
            yield "impact", alert.impact
            yield "likely cause", alert.cause
        yield "data source", alert.data_source
        yield "link", alert.link
        if not recovered:
            yield "remediation", alert.remediation
            yield "runbook", self.runbook


@dataclass(frozen=True)
class Message:
    """One post. `key` is the same when it is posted again because nobody knows whether it had arrived."""

    items: list[Item]
    key: str

    @property
    def title(self) -> str:
        if len(self.items) == 1:
            return self.items[0].title
        counts = Counter(item.event for item in self.items)
        return "DIGEST: " + ", ".join(f"{counts[event]} {_PLURALS[event]}" for event in _PLURALS if counts[event])

    @property
    def severity(self) -> Severity | None:
        """The worst of what is wrong; None when all of it is resolved, or a test."""
        over = (Event.RESOLVED, Event.TEST)
        return max((item.alert.severity for item in self.items if item.event not in over), default=None)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Name and value of each line below the title; of a digest its events' titles, the worst first."""
        if len(self.items) == 1:
            return [(name, value) for name, value in self.items[0].lines() if value]
        ordered = sorted(self.items, key=lambda i: (i.event is Event.RESOLVED, -i.alert.severity, i.at))
        shown = [(str(n), _brief(item)) for n, item in enumerate(ordered[:DIGEST_LINES], start=1)]
        hidden = len(ordered) - len(shown)
        return [*shown, *([("…", f"and {hidden} more: crypto-platform alerts list")] if hidden else [])]

    @property
    def text(self) -> str:
        """The message as plain text, its title first."""
        return as_text(self.title, self.fields)

    def as_json(self) -> dict[str, Any]:
        """JSON's own types: event (or digest), title, text, and the alerts with every field."""
        return {
            "key": self.key,
            "event": str(self.items[0].event) if len(self.items) == 1 else "digest",
            "title": self.title,
            "text": self.text,
            "alerts": [
                {
                    "event": str(item.event),
                    "at": item.at.isoformat(),
                    **item.alert.model_dump(mode="json", exclude={"reference"}),
                    "severity": item.alert.severity.word,
                    "runbook": item.runbook,
                }
                for item in self.items
            ],
        }


_PLURALS = {
    Event.FIRING: "new alerts",
    Event.ESCALATED: "escalated",
    Event.REMINDER: "still firing",
    Event.RESOLVED: "resolved",
}


def as_text(title: str, fields: Sequence[tuple[str, str]]) -> str:
    """The title, and below it a line for each name and value."""
    width = max((len(name) for name, _ in fields), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in fields)])


def duration(time: timedelta) -> str:
    """35 s, 12 min, 3 h 5 min, 2 d 4 h."""
    seconds = max(0, round(time.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 60:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{days} d {hours % 24} h"


def _brief(item: Item) -> str:
    remediation = item.alert.remediation if item.event is not Event.RESOLVED else ""
    return f"{item.title}{f' — remediation: {remediation}' if remediation else ''}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
