"""What the first day found, as Markdown to send on: figures, and texts without what the settings hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from platform import machine, python_version, system
from typing import TYPE_CHECKING

from crypto_platform.cli.redaction import Redaction
from crypto_platform.connectors.snowflake.credits import AUTO_SUSPEND_SECONDS, credits_of
from crypto_platform.connectors.snowflake.query_history import MOST, Statements

if TYPE_CHECKING:
    from crypto_platform.cli.doctor import Finding
    from crypto_platform.cli.runs import Stage
    from crypto_platform.orchestration.automation.backfill import BackfillPlan


@dataclass(frozen=True)
class Failure:
    """Where it ended, with what error, and what to do."""

    stage: str
    error: str
    remediation: str


@dataclass
class Report:
    """Filled as the first day goes on; what a failure kept from being found stays empty.

    `systems`: what each is, by its name. `tables`: rows of the day's tables. `dbt`: nodes by kind and status. `size`:
    of the warehouse, None where it is not known. `clean_up`: what was made for the trial, and what became of it.
    """

    feed: str
    symbols: Sequence[str]
    day: date
    systems: Mapping[str, str]
    began: datetime
    findings: list["Finding"] = field(default_factory=list)
    plan: "BackfillPlan | None" = None
    stages: list["Stage"] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    dbt: dict[str, int] = field(default_factory=dict)
    statements: list[Statements] = field(default_factory=list)
    size: str | None = None
    failure: Failure | None = None
    clean_up: list[tuple[str, str]] = field(default_factory=list)

    @property
    def credits(self) -> float | None:
        """Estimated: one warehouse that works from the first statement to the last."""
        if not self.statements or self.size is None:
            return None
        seconds = max(one.last for one in self.statements) - min(one.first for one in self.statements)
        return credits_of(seconds.total_seconds(), self.size)

    def markdown(self, redaction: Redaction) -> str:
        """The report; nothing of it leaves otherwise than through `redaction`."""
        return redaction.text("\n".join(self._lines()) + "\n")

    def _lines(self) -> Iterator[str]:
        yield "# First day"
        yield ""
        yield f"**{'Passed' if self.failure is None else f'Failed at {self.failure.stage}'}.**"
        yield f"{self.feed}, {', '.join(self.symbols)}, the UTC day {self.day}. A setting stands as its name."
        yield ""
        took = timedelta(seconds=round((datetime.now(UTC) - self.began).total_seconds()))
        yield from _table(
            ("", ""),
            (
                ("began", f"{self.began:%Y-%m-%d %H:%M:%S} UTC, took {took}"),
                ("crypto_platform", f"{version('crypto-platform')}, Python {python_version()}, {system()} {machine()}"),
                *self.systems.items(),
            ),
        )
        if self.failure:
            yield from _heading(f"Failure: {self.failure.stage}")
            yield from ("```", self.failure.error.replace("```", "'''"), "```", "")
            yield f"What to do: {self.failure.remediation}"
        if self.findings:
            yield from _heading("Checks")
            rows = ((f.check, "passed" if f.ok else "**failed**", f.found, f.remediation) for f in self.findings)
            yield from _table(("check", "", "found", "what to do"), rows)
        if self.plan:
            yield from _heading("Requests")
            yield from _table(("", ""), self._requests(self.plan))
        if self.stages:
            yield from _heading("Stages")
            yield from _table(("stage", "records", "new", "unchanged", "rejected", "seconds"), map(_stage, self.stages))
        if self.tables or self.dbt:
            yield from _heading("Tables")
            yield from _table(("", ""), ((name, f"{count:,}") for name, count in {**self.tables, **self.dbt}.items()))
        if self.statements:
            yield from _heading("Statements sent to Snowflake")
            yield from _table(
                ("component", "statements"), ((one.component, f"{one.count:,}") for one in self.statements)
            )
            total = sum(one.count for one in self.statements)
            yield ""
            yield f"{'At least ' if total >= MOST else ''}{total:,} in all. {self._costs()}"
        if self.clean_up:
            yield from _heading("Clean-up")
            yield from _table(("made for the trial", ""), self.clean_up)

    def _requests(self, plan: "BackfillPlan") -> Iterator[tuple[str, str]]:
        yield "bars expected, regular hours", f"{plan.bars:,}"
        yield "requests planned", f"{plan.requests:,} at the least"
        least = timedelta(seconds=plan.least_seconds)
        yield "limit", f"{plan.limit:,} a minute (ALPACA_REQUESTS_PER_MINUTE): {least} at the least"
        for stage in self.stages:
            if "requests" in stage.metadata:
                found = stage.metadata
                retries = sum(found.get("retries", {}).values())
                waited = found.get("throttled_seconds", 0)
                yield (
                    stage.name,
                    f"{found['requests']:,} requests, {retries:,} retries, {waited:.1f} s waited for the limit",
                )

    def _costs(self) -> str:
        if self.credits is None:
            return "The warehouse's size is not known: no credits are estimated."
        return (
            f"Estimated at {self.credits:.4f} credits: one {self.size} warehouse from the first statement to the last, "
            f"and {AUTO_SUSPEND_SECONDS} s until it is suspended. `crypto-platform snowflake costs` has those metered."
        )


def _stage(stage: "Stage") -> tuple[str, ...]:
    counts = (stage.records, *(stage.metadata.get(name) for name in ("loaded", "unchanged", "rejected")))
    return stage.name, *("" if count is None else f"{count:,}" for count in counts), f"{stage.seconds:.1f}"


def _heading(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "")


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in row)} |"
