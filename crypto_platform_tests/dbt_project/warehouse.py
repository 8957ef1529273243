"""A database of one test's own in the embedded Snowflake: raw bars in, dbt builds, tables out."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pandas as pd

from crypto_platform.connectors.snowflake import connection, schema
from crypto_platform.market.feed_spec import feeds
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.settings import PROJECT_ROOT, Settings
from crypto_platform.transform.paths import PARTIAL_PARSE

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

PROJECT = PROJECT_ROOT / "dbt_project"
RECORDINGS = PROJECT_ROOT / "recordings"
# RAW.<FEED>_CORPORATE_ACTIONS.
ACTION_COLUMNS = {
    **dict.fromkeys(("action_id", "action_type", "symbol"), "varchar not null"),
    "process_date": "date not null",
    **dict.fromkeys(("ex_date", "record_date", "payable_date"), "date"),
    **dict.fromkeys(("old_rate", "new_rate", "rate"), "float"),
    **dict.fromkeys(("is_special", "is_foreign"), "boolean"),
    **dict.fromkeys(("new_symbol", "cusip", "new_cusip"), "varchar"),
    **dict.fromkeys(("body", "source"), "varchar not null"),
    "observed_at": "timestamp_ntz not null",
    "kafka_topic": "varchar not null",
    **dict.fromkeys(("kafka_partition", "kafka_offset"), "number(38, 0) not null"),
    "load_id": "varchar not null",
    "loaded_at": "timestamp_ntz not null",
}
CASES = PROJECT_ROOT / "crypto_platform_tests" / "fixtures" / "cases"


def recording(name: str) -> pd.DataFrame:
    """A recording as raw bars: `bar_start` naive UTC and the bar's other fields, sorted by time."""
    frame = pd.read_parquet(RECORDINGS / f"{name}.parquet").rename(columns={"timestamp": "bar_start"})
    frame["bar_start"] = frame["bar_start"].dt.tz_localize(None).astype("datetime64[us]")
    return frame.sort_values("bar_start", ignore_index=True)


def case(name: str) -> pd.DataFrame:
    """The one file of a case in the fixtures as raw bars."""
    (file,) = (CASES / name).glob("*.csv")
    frame = pd.read_csv(file, parse_dates=["timestamp"]).rename(columns={"timestamp": "bar_start"})
    frame["bar_start"] = frame["bar_start"].dt.tz_localize(None).astype("datetime64[us]")
    prices = ["open", "high", "low", "close", "volume"]
    return frame.astype(dict.fromkeys(prices, float)).assign(timeframe=file.stem.split("_")[1])


def project_arguments(scratch: Path) -> list[str]:
    """Where dbt finds the project, and that it puts what it makes into `scratch`, with what set-up parsed there."""
    if not (target := scratch / "target").exists():
        target.mkdir()
        # dbt parses only what has changed since: a second in place of ten.
        with suppress(FileNotFoundError):
            copyfile(PROJECT / "target" / PARTIAL_PARSE, target / PARTIAL_PARSE)
    folders = {"project-dir": PROJECT, "profiles-dir": PROJECT, "target-path": scratch / "target"}
    folders["log-path"] = scratch / "logs"
    return [part for name, folder in folders.items() for part in (f"--{name}", str(folder))]


def made_of(models: Iterable[str]) -> list[str]:
    """dbt's options that choose these models and what they are made of; none choose all."""
    chosen = [f"+{model}" for model in models]
    return ["--select", *chosen] if chosen else []


@cache
def parsed() -> bytes:
    """The dbt project as MessagePack."""
    from dbt.cli.main import dbtRunner

    with TemporaryDirectory() as target:
        outcome = dbtRunner().invoke(["parse", "--quiet", *project_arguments(Path(target))])
    assert outcome.success, repr(outcome.exception)
    packed: bytes = outcome.result.to_msgpack()  # type: ignore[union-attr]
    return packed


@dataclass
class Warehouse:
    """`scratch` holds dbt's target folder and the files of loads."""

    settings: Settings
    scratch: Path
    loads: int = field(default=0)

    def create(self) -> None:
        """Create the database and the raw tables, empty."""
        with connection.connect(self.settings) as session:
            for feed in feeds():
                schema.ensure_schema(session, feed)

    def load(self, feed: str, frame: pd.DataFrame, observed_at: pd.Timestamp, source: str = "rest") -> None:
        """Add versions of bars as one load, a minute after the load before."""
        self.loads += 1
        file = self.scratch / f"load_{self.loads}.parquet"
        loaded_at = pd.Timestamp("2026-07-01") + pd.Timedelta(minutes=self.loads)
        frame.assign(
            source=source,
            observed_at=observed_at.as_unit("us"),
            kafka_topic=f"market.{feed}.bars",
            kafka_partition=0,
            kafka_offset=range(len(frame)),
            load_id=f"load_{self.loads}",
            loaded_at=loaded_at.as_unit("us"),
        ).to_parquet(file, index=False)
        with connection.connect(self.settings) as session:
            cursor = session.cursor()
            cursor.execute("create stage if not exists RAW.TEST_LOADS")
            cursor.execute(f"put 'file://{file}' @RAW.TEST_LOADS auto_compress = false")
            cursor.execute(
                f"copy into {schema.BARS.ledger(feed)} from @RAW.TEST_LOADS/{file.name} "
                "file_format = (type = parquet use_logical_type = true) match_by_column_name = case_insensitive"
            )

    def act(self, feed: str, observed_at: pd.Timestamp, *actions: Mapping[str, Any]) -> None:
        """Add versions of corporate actions as one load, a minute after the load before.

        Each names its action_type, symbol, ex_date and rates; what it leaves out is made of these, or NULL.
        """
        self.loads += 1
        loaded_at = pd.Timestamp("2026-07-01") + pd.Timedelta(minutes=self.loads)
        columns = ", ".join(f"{name} {kind}" for name, kind in ACTION_COLUMNS.items())
        with connection.connect(self.settings) as session:
            cursor = session.cursor()
            cursor.execute(f"create table if not exists RAW.{feed}_CORPORATE_ACTIONS ({columns})")
            rows = [
                {"action_id": "{action_type}:{symbol}:{ex_date}".format_map(action), "process_date": action["ex_date"]}
                | {"body": "{}", "source": "rest", "kafka_topic": f"market.{feed}.corporate_actions"}
                | {"kafka_partition": 0, "kafka_offset": offset, "load_id": f"load_{self.loads}"}
                | {"observed_at": observed_at.isoformat(), "loaded_at": loaded_at.isoformat()}
                | dict(action)
                for offset, action in enumerate(actions)
            ]
            cursor.executemany(
                f"insert into RAW.{feed}_CORPORATE_ACTIONS ({', '.join(ACTION_COLUMNS)}) "
                f"values ({', '.join(['%s'] * len(ACTION_COLUMNS))})",
                [tuple(row.get(name) for name in ACTION_COLUMNS) for row in rows],
            )

    def tell(self, feed: str, *statuses: Mapping[str, Any]) -> None:
        """Add trading statuses as one load, a minute after the load before; what one leaves out is NULL."""
        self.loads += 1
        loaded_at = (pd.Timestamp("2026-07-01") + pd.Timedelta(minutes=self.loads)).isoformat()
        with connection.connect(self.settings) as session:
            schema.ensure_schema(session, feed, TRADING_STATUSES)
            for offset, status in enumerate(statuses):
                row = {
                    **status,
                    "source": "stream",
                    "observed_at": loaded_at,
                    "kafka_topic": TRADING_STATUSES.topic(feed),
                    "kafka_partition": 0,
                    "kafka_offset": 1000 * self.loads + offset,
                    "load_id": f"load_{self.loads}",
                    "loaded_at": loaded_at,
                }
                session.cursor().execute(
                    f"insert into {TRADING_STATUSES.ledger(feed)} ({', '.join(row)}) "
                    f"values ({', '.join(['%s'] * len(row))})",
                    tuple(row.values()),
                )

    def dbt(self, *arguments: str) -> Sequence[Any]:
        """Run dbt in this process; returns its results.

        Raises:
            AssertionError: dbt failed; the message holds what it said of each failed node.
        """
        from dbt.adapters.base import impl
        from dbt.cli.main import dbtRunner

        # dbt adds the adapter's flags to its own list in each run of a process, and looks up for each who asked for it.
        flags = list(impl.DEFAULT_BASE_BEHAVIOR_FLAGS)
        with patch.dict(os.environ, self.environment()), patch.object(impl, "DEFAULT_BASE_BEHAVIOR_FLAGS", flags):
            outcome = dbtRunner(manifest=self._manifest()).invoke([*arguments, *self.arguments()])
        results = list(getattr(outcome.result, "results", []))
        failed = [f"{r.node.name}: {r.message}" for r in results if r.status in ("error", "fail")]
        assert outcome.success, "\n".join(failed) or repr(outcome.exception)
        return results

    def build(self, *models: str) -> Sequence[Any]:
        """Build these models, or all, and what they are made of, without tests.

        Raises:
            AssertionError: as of `dbt`.
        """
        return self.dbt("build", *made_of(models), "--exclude-resource-type", "test", "unit_test")

    def _manifest(self) -> "Manifest":
        """The project, parsed once for every warehouse, with the relations of this one's database."""
        from dbt.contracts.graph.manifest import Manifest

        # A copy for each run: what one compiled of ephemeral models would be wrong in the next.
        manifest = Manifest.from_msgpack(parsed())
        database = self.settings.snowflake_database
        for node in (*manifest.nodes.values(), *manifest.sources.values()):
            if node.relation_name:
                node.relation_name = f"{database}{node.relation_name.removeprefix(node.database or '')}"
            node.database = database
        return manifest

    def arguments(self) -> list[str]:
        """Where dbt finds the project and puts what it makes."""
        return [*project_arguments(self.scratch), "--quiet"]

    def environment(self) -> dict[str, str]:
        return self.settings.environment() | {"SNOWFLAKE_ACCOUNT": ""}

    def table(self, name: str) -> pd.DataFrame:
        """A table by schema and name, columns in lower case, sorted by all of them."""
        frame = self.query(f"select * from {name}")
        return frame.sort_values(list(frame), ignore_index=True)

    def query(self, sql: str) -> pd.DataFrame:
        """The rows of a query, columns in lower case."""
        with connection.connect(self.settings) as session:
            cursor = session.cursor()
            cursor.execute(sql)
            columns = [column.name.lower() for column in cursor.description]
            return pd.DataFrame(cursor.fetchall(), columns=columns)
