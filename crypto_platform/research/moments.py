"""Times as they are given, checked and brought to UTC."""

from datetime import UTC, date, datetime, time

from crypto_platform.research.errors import RangeError

Moment = date | datetime | str
"""A UTC day, which stands for its midnight, a datetime with a zone, or either in ISO 8601."""


def utc(given: Moment, name: str) -> datetime:
    """The moment in UTC, to the microsecond; `name` is the argument's.

    Raises:
        RangeError: it is no time, or a datetime without a zone.
    """
    if isinstance(given, str):
        given = _parsed(given, name)
    if not isinstance(given, datetime):
        if not isinstance(given, date):
            raise RangeError(f"{name} is {given!r}: give a date, or a datetime with a zone")
        return datetime.combine(given, time.min, UTC)
    if given.tzinfo is None:
        raise RangeError(
            f"{name} is {given.isoformat()}, without a zone: write datetime(…, tzinfo=UTC) or, of a pandas Timestamp, "
            ".tz_localize('UTC')"
        )
    moment = given.astimezone(UTC)
    # A pandas Timestamp is a datetime with nanoseconds.
    return datetime.combine(moment.date(), moment.time(), UTC)


def utc_range(start: Moment, end: Moment) -> tuple[datetime, datetime]:
    """[start, end) in UTC, which may be empty.

    Raises:
        RangeError: as `utc`, or the end is before the start.
    """
    first, after = utc(start, "start"), utc(end, "end")
    if after < first:
        raise RangeError(f"end, {after.isoformat()}, is before start, {first.isoformat()}")
    return first, after


def known_at(given: datetime | str | None) -> datetime | None:
    """The moment whose knowledge is asked for, in UTC; None for all that is known.

    Raises:
        RangeError: as `utc`; a date, which is no moment; or it is still to come.
    """
    if given is None:
        return None
    parsed = _parsed(given, "as_of") if isinstance(given, str) else given
    if not isinstance(parsed, datetime):
        raise RangeError(f"as_of is {given}: give a moment of that day, as a datetime with a zone")
    moment = utc(parsed, "as_of")
    if moment > (now := datetime.now(UTC)):
        raise RangeError(
            f"as_of is {moment.isoformat()}, which is to come, it is {now.isoformat(timespec='seconds')}: leave it out "
            "for all that is known now"
        )
    return moment


def _parsed(text: str, name: str) -> date | datetime:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-03-01") else datetime.fromisoformat(text)
    except ValueError:
        raise RangeError(f"{name} is {text!r}: write 2026-03-01, or 2026-03-01T12:00:00+00:00") from None


def bound(moment: datetime) -> str:
    """As a value of a TIMESTAMP_NTZ in UTC."""
    return moment.replace(tzinfo=None).isoformat(sep=" ")
