"""A ledger that was dropped, on an embedded default of the test's own: told by the next run, mended by republishing."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings

COMMAND = str(Path(sys.executable).parent / "crypto-platform")


def command(settings: Settings, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **settings.environment(), "COLUMNS": "500"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def materialize(settings: Settings, start: str, end: str) -> tuple[int, str]:
    return command(settings, "materialize", "--feed", "crypto", "--from", start, "--to", end)


def rows(settings: Settings, statement: str) -> list[tuple]:
    with connect(settings) as connection:
        return [tuple(row) for row in connection.cursor().execute(statement).fetchall()]


BARS_A_DAY = "SELECT bar_start::date::varchar, count(*) FROM {} GROUP BY 1 ORDER BY 1"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dropped_ledger_fails_the_next_run_and_republishing_makes_it_whole(fresh_settings: Settings) -> None:
    with supervise.sandbox(fresh_settings) as settings:
        code, output = materialize(settings, "2026-03-01", "2026-03-03")
        assert code == 0, output
        rows(settings, "DROP TABLE MARKET.RAW.CRYPTO_BARS")

        code, output = materialize(settings, "2026-03-03", "2026-03-04")
        assert code == 1, output
        assert "RAW.CRYPTO_BARS holds 1,440 versions where its loads put 4,320: 2,880 are gone" in output
        assert "crypto-platform republish --feed crypto" in output
        # Some of the lake's days would not make it whole.
        code, output = command(settings, "republish", "--feed", "crypto", "--from", "2026-03-03")
        assert (code, "2,880 are gone" in output) == (1, True), output

        Path(Lake(settings.lake).path("crypto", "1Min", date(2026, 3, 1))).unlink()
        code, output = command(settings, "republish", "--feed", "crypto")
        assert code == 0, output
        assert "Gave up 2,880 versions that are gone from the ledger." in output
        asks = "crypto-platform materialize --feed crypto --from 2026-03-01 --to 2026-03-02"
        assert f"The lake has no file of 1 of their days: {asks}" in output
        code, output = command(settings, *asks.split()[1:])
        assert code == 0, output

        whole = [(f"2026-03-0{day}", 1440) for day in (1, 2, 3)]
        assert rows(settings, BARS_A_DAY.format("MARKET.RAW.CRYPTO_BARS")) == whole
        assert rows(settings, BARS_A_DAY.format("MARKET.MARTS.FCT_BARS")) == whole
        assert rows(settings, "SELECT sum(loaded) FROM MARKET.MARTS.FCT_LOADS") == [(3 * 1440,)]
        complete = "complete_until > dateadd('day', 1, partition_date)"
        answered = f"SELECT DISTINCT partition_date::varchar FROM MARKET.RAW.REQUESTED_PARTITIONS WHERE {complete}"
        assert sorted(rows(settings, answered)) == [(day,) for day, _ in whole]
