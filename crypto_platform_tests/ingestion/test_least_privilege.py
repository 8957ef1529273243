"""What a load and its neighbours send needs no more than the loader's grants; all of it parses as Snowflake's SQL."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.snowflake import fact_checks, ledger_checks
from crypto_platform.connectors.snowflake.account import Account
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.grants import NEEDED, Place
from crypto_platform.connectors.snowflake.offsets_table import offsets_table
from crypto_platform.connectors.snowflake.setup import sections
from crypto_platform.ingestion import dead_letters, topic_load
from crypto_platform.ingestion.requested_partitions import RequestedPartition, record
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

# Of a load's own: temporary, which takes no privilege.
SCRATCH = r"RAW\.(SCRATCH|STAGE)_\d{8}T\d{6}_[0-9A-F]{12}"


def needed(statement: str) -> Iterator[tuple[str, str]]:
    """The privileges that a statement takes, each with its table."""
    parsed = sqlglot.parse_one(re.sub("%s", "''", statement), dialect="snowflake")
    assert not isinstance(parsed, exp.Command), statement
    target = parsed.this if isinstance(parsed, exp.Insert | exp.Update | exp.Merge | exp.Delete) else None
    tables = {name(table): table for table in parsed.find_all(exp.Table) if table.db and table.name}
    if target is not None:
        target = name(target.find(exp.Table))
    for table in tables:
        if re.fullmatch(SCRATCH, table) or table.startswith("INFORMATION_SCHEMA."):
            continue
        if isinstance(parsed, exp.Create | exp.Alter | exp.Drop | exp.TruncateTable):
            yield parsed.key.upper(), table
        elif table != target:
            yield "SELECT", table
        elif isinstance(parsed, exp.Merge):
            for when in parsed.find_all(exp.When):
                yield ("INSERT" if isinstance(when.args["then"], exp.Insert) else "UPDATE"), table
        else:
            yield parsed.key.upper(), table


def name(table: exp.Expression | None) -> str:
    assert isinstance(table, exp.Table)
    return f"{table.db}.{table.name}".upper()


def check_granted(statements: list[str], database: str, feed: str) -> set[str]:
    """Every table that the statements use is granted to the loader in that way; returns the privileges they need."""
    place = Place(database, "LOADING", tables=(f"{database}.{offsets_table(feed)}",))
    granted = {(p, g.name, g.of_schema) for g in NEEDED["LOADER"](place) for p in g.privileges}
    asked = {one: statement for statement in statements for one in needed(statement)}
    for (privilege, table), statement in asked.items():
        schema = f"{database}.{table.partition('.')[0]}"
        ways = {(privilege, schema, True), (privilege, f"{database}.{table}", False)}
        assert ways & granted, (privilege, table, statement)
    return {privilege for privilege, _ in asked}


@pytest.fixture
def set_up(sandbox: Settings) -> tuple[Settings, str]:
    """A database with what the set-up makes for one feed, and nothing else."""
    feed = factories.feed_name()
    settings = sandbox.model_copy(update={"snowflake_database": feed.upper()})
    known = r"CREATE (DATABASE|SCHEMA|TABLE) |USE DATABASE "
    with connect(settings) as connection:
        for part in sections(Account(database=feed.upper()), {feed: (BARS,)}):
            for statement in filter(re.compile(known).match, part.statements):
                connection.cursor().execute(statement)
    return settings, feed


def test_after_the_set_up_a_load_needs_no_more_than_its_grants(set_up: tuple[Settings, str], sent: list[str]) -> None:
    settings, feed = set_up
    publish(settings, feed, [factories.day({"BTC/USD": [factories.bar(0), factories.bar(1), b"poison"]})], "run")
    assert topic_load.load(settings, feed, "run").loaded == 2
    publish(
        settings,
        feed,
        [factories.day({"BTC/USD": [factories.bar(0, c=100.7)]}, factories.OBSERVED + timedelta(hours=1))],
        "run",
    )
    assert topic_load.load(settings, feed, "run").loaded == 1
    with connect(settings) as connection:
        connection.cursor().execute(f"DELETE FROM {BARS.ledger(feed)} WHERE close > 100.65")
        assert sent.pop().startswith("DELETE")
    assert topic_load.accept_ledger_loss(settings, feed, "run").versions > 0
    dead_letters.replay(settings, dead_letters.find(settings, [feed], "", False, 10))
    with connect(settings) as connection:
        day = factories.DAY
        record(connection, feed, "1Min", [RequestedPartition("BTC/USD", day, factories.OBSERVED, 2)], "run")
        ledger_checks.balance(connection, feed)
        ledger_checks.figures_by_day(connection, feed, Timeframe.parse("1Min"), day, day + timedelta(days=1))

    assert check_granted(sent, feed.upper(), feed) == {"SELECT", "INSERT", "UPDATE"}
    # What is created is the load's own.
    created = [statement for statement in sent if statement.startswith(("CREATE", "ALTER", "DROP"))]
    assert created
    assert all(re.search(SCRATCH, statement, re.IGNORECASE) for statement in created)


def test_a_steady_load_sends_twelve_statements(
    set_up: tuple[Settings, str], sent: list[str], tags: list[tuple[str, dict[str, str]]]
) -> None:
    """With an external stage, on an account, whatever the number of partitions; an internal one is made and filled."""
    settings, feed = set_up
    symbols = [f"A{n}/USD" for n in range(20)]
    publish(settings, feed, [factories.day({symbol: [factories.bar(0)] for symbol in symbols})], "run")
    topic_load.load(settings, feed, "run")
    sent.clear()
    tags.clear()
    publish(settings, feed, [factories.day({symbol: [factories.bar(1)] for symbol in symbols})], "run")
    report = topic_load.load(settings, feed, "run")
    assert report.loaded == len(symbols)
    assert len(report.offsets) > 1
    of_the_emulator = [s for s in sent if re.match(r"DROP TABLE|SELECT table_name .* startswith", s)]
    of_an_internal_stage = [s for s in sent if re.match("CREATE TEMPORARY STAGE|PUT ", s)]
    assert (len(of_the_emulator), len(of_an_internal_stage)) == (2, 2)
    assert len(sent) - 4 == 12, "\n".join(sent)
    # Each says whose it is, and from the scratch table on of which load.
    load = {"app": "crypto_platform", "component": "load", "feed": feed, "run_id": "run"}
    known = [tag for _, tag in tags].index(load | {"load_id": report.load_id})
    assert [tag for _, tag in tags[:known]] == [load] * known
    assert all(tag["load_id"] == report.load_id for command, tag in tags[known:] if command not in of_the_emulator)


class Nothing:
    """A connection to an account that has no rows."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def cursor(self) -> "Nothing":
        return self

    def execute(self, statement: str, *_: object, **__: object) -> "Nothing":
        self.sent.append(statement)
        return self

    def fetchall(self) -> list[tuple[object, ...]]:
        return []

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(())


def test_the_checks_read_what_the_loader_may_read() -> None:
    connection: Any = Nothing()
    day, minute = factories.DAY, Timeframe.parse("1Min")
    fact_checks.differing_days(connection, ["crypto", "us_equity"], day, day)
    fact_checks.incomplete_sessions(connection, day, day)
    fact_checks.newest_ex_dates(connection, "us_equity")
    fact_checks.adjusted_closes(connection, "us_equity", ["AAPL", "SPY"], ["close"])
    fact_checks.actions(connection, "us_equity", ["AAPL"])
    fact_checks.symbol_periods(connection, "us_equity")
    ledger_checks.figures_by_day(connection, "us_equity_daily", Timeframe.parse("1Day"), day, day)
    ledger_checks.broken_bars(connection, "crypto", minute, day, "BTC/USD")
    ledger_checks.bars_outside(connection, "crypto", minute, day, "BTC/USD", (1.0, 2.0))
    ledger_checks.newest_of_day(connection, "crypto", minute, day)
    ledger_checks.actions_by_day(connection, "us_equity", day, day)
    ledger_checks.splits(connection, "us_equity", day, day)
    assert len(connection.sent) == 12
    assert check_granted(connection.sent, "MARKET", "crypto") == {"SELECT"}
