"""The days a dbt run covers, as the project's variables."""

from datetime import datetime


def variables(start: datetime, end: datetime) -> dict[str, str]:
    """dbt's `start` and `end` of the half-open range [start, end) of UTC days."""
    return {"start": start.date().isoformat(), "end": end.date().isoformat()}
