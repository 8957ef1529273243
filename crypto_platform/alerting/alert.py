"""One alert: a condition that a person should know of and can resolve."""

from enum import IntEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

# Each has its page docs/runbooks/<kind>.md, blanks as hyphens.
Kind = Literal[
    "run failure",
    "backfill failure",
    "check failure",
    "freshness check",
    "freshness",
    "sensor",
    "schedule",
    "process",
    "stream silence",
    "stream lag",
    "load lag",
    "test",
]


class Severity(IntEnum):
    """A warning may wait until tomorrow, an error until today's end, something critical may not."""

    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Alert(BaseModel):
    """One condition, as its message has it.

    `fingerprint` says which condition it is and stays the same for as long as it lasts; `kind` names its
    runbook. Fields that do not apply are empty and left out of the message.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str = Field(min_length=1, max_length=500)
    kind: Kind
    summary: str = Field(min_length=1, description="One line: what is wrong")
    started_at: AwareDatetime
    severity: Severity = Severity.ERROR
    feed: str = ""
    partitions: str = Field("", description="The days concerned, such as 2026-03-01 or [2026-03-01, 2026-03-11)")
    impact: str = Field("", description="What does not work because of it")
    cause: str = Field("", description="The likely cause")
    link: str = Field("", description="Where the UI shows it")
    remediation: str = Field("", description="The command that resolves it")
    data_source: str = Field("", description="What the bars are when they are not the market's: simulated, recorded")
    reference: str = Field("", description="What its source finds the cause by again; not in messages")

    @field_validator("summary", "feed", "partitions", "remediation")
    @classmethod
    def _one_line(cls, value: str) -> str:
        """A subject, a chat's first line and a command are one line."""
        return " ".join(value.split())
