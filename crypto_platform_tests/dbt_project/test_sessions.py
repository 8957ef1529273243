"""The trading calendar is the exchange's own."""

import csv
import runpy
from datetime import date

import exchange_calendars
import pandas as pd
import pytest
import yaml

from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse


def test_sessions_equal_the_exchange_calendars(recorded: Warehouse) -> None:
    sessions = recorded.query(
        "select * from MARTS.DIM_SESSIONS where calendar = 'XNYS' and is_open order by session_date"
    )
    first, last = sessions["session_date"].iloc[[0, -1]]
    exchange = exchange_calendars.get_calendar("XNYS", start=str(first), end=str(last))
    schedule = exchange.schedule.reset_index(names="session_date")
    assert sessions["session_date"].tolist() == schedule["session_date"].dt.date.tolist()
    for column, expected in (("opens_at", "open"), ("closes_at", "close")):
        pd.testing.assert_series_equal(
            sessions[column], schedule[expected].dt.tz_localize(None), check_dtype=False, check_names=False
        )
    assert sessions["session_date"][sessions["is_early_close"]].tolist() == [d.date() for d in exchange.early_closes]


def test_crypto_is_always_open(recorded: Warehouse) -> None:
    sessions = recorded.query("select * from MARTS.DIM_SESSIONS where calendar = '24/7' order by session_date")
    assert sessions["is_open"].all()
    assert (sessions["closes_at"] - sessions["opens_at"]).unique().tolist() == [pd.Timedelta(days=1)]
    assert (sessions["closes_at"].shift() == sessions["opens_at"])[1:].all()


@pytest.mark.slow
def test_the_seed_is_what_its_script_writes() -> None:
    script = runpy.run_path(str(PROJECT / "seeds" / "make_exchange_days.py"))
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    start, end = date.fromisoformat(project["calendar_from"]), date.fromisoformat(project["calendar_to"])
    rows = script["exchange_days"]("XNYS", project["calendars"]["XNYS"], start, end)
    with (PROJECT / "seeds" / "exchange_days.csv").open(newline="") as file:
        header, *seeded = csv.reader(file)
    assert tuple(header) == script["HEADER"]
    assert [tuple(row) for row in seeded] == rows
