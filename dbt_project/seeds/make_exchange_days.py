"""Write `exchange_days.csv`: every weekday on which an exchange keeps other hours than usual, or none.

Run `python dbt_project/seeds/make_exchange_days.py` after raising `calendar_to` in `dbt_project.yml`, or after an
update of exchange_calendars that knows of a newly announced closure.
"""

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import exchange_calendars
import pandas as pd
import yaml

PROJECT = Path(__file__).parents[1]
SEED = Path(__file__).with_name("exchange_days.csv")
HEADER = ("calendar", "session_date", "opens_at", "closes_at", "holiday_name")


def exchange_days(name: str, calendar: dict[str, Any], start: date, end: date) -> list[tuple[str, ...]]:
    """The exceptional weekdays of one calendar in [start, end), as rows of the seed, times local `HH:MM`.

    A closed day has no times. The name is the holiday's, or empty for an unscheduled closure.
    """
    last = end - timedelta(days=1)
    exchange = exchange_calendars.get_calendar(name, start=start, end=last)
    names: dict[pd.Timestamp, str] = {}
    for holidays in [exchange.regular_holidays, *(special for _, special in exchange.special_closes)]:
        found = holidays.holidays(start, last, return_name=True)
        names.update(zip(found.index.tz_localize(None), found, strict=True))
    schedule = exchange.schedule
    rows: list[tuple[str, ...]] = []
    for day in pd.date_range(start, last, freq="D" if calendar["weekend"] else "B"):
        times: tuple[str, str] = ("", "")
        if day in schedule.index:
            hours = schedule.loc[day, ["open", "close"]].dt.tz_convert(exchange.tz)
            times = (f"{hours['open']:%H:%M}", f"{hours['close']:%H:%M}")
        if times != (calendar["opens_at"], calendar["closes_at"]):
            rows.append((name, day.date().isoformat(), *times, names.get(day, "")))
    return rows


def main() -> None:
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    start, end = (date.fromisoformat(project[key]) for key in ("calendar_from", "calendar_to"))
    with SEED.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for name, calendar in project["calendars"].items():
            if name != "24/7":
                writer.writerows(exchange_days(name, calendar, start, end))


if __name__ == "__main__":
    main()
