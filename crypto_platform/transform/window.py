"""The days a dbt run covers, told to the project's models."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime


@contextmanager
def window(start: datetime, end: datetime) -> Iterator[None]:
    """Have dbt processes that are started in this block cover [start, end), UTC midnights.

    By environment, not by `--vars`: with other variables than last time dbt parses the whole project anew.
    """
    names = {"DBT_WINDOW_START": start.date().isoformat(), "DBT_WINDOW_END": end.date().isoformat()}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
