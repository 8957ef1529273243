"""Fixtures of the whole suite."""

import atexit
import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.script import ScriptDirectory

from crypto_platform.connectors.superset.browser import chromium_on_path
from crypto_platform.gc_tuning import collect_rarely
from crypto_platform.sandbox import supervise
from crypto_platform.settings import ENV_FILE_VARIABLE, Settings, settings, use

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from crypto_platform_tests.dbt_project.warehouse import Warehouse
    from crypto_platform_tests.research.known import Known

# What setup installed and fetched; all else is at its default, whatever this machine's `.env` and environment say: no
# test may reach a system of theirs.
here = Settings()
SHARED = here.installed
# What the tests marked `account` log in with, and nothing else.
ACCOUNT = {name: value for name, value in here if name.startswith("snowflake_") or name == "stage_url"}
# Tests start many a Java and keep none for long: half of a Spark's first minute is its second compiler's.
SHARED["sandbox_java_options"] = "-XX:TieredStopAtLevel=1"
os.environ[ENV_FILE_VARIABLE] = os.devnull
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)
# Other workers, and programs that the tests start with settings of their own, take it from there.
defaults = Settings().installed
os.environ.update({name.upper(): str(value) for name, value in SHARED.items() if value != defaults[name]})

# Started in the background of a shell, the suite would pass an ignored Ctrl-C on to the programs it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A sixth of the processor time of tests that run dbt in this process.
collect_rarely()

# Half of an instance of Dagster: it would import the scripts of its storage's migrations twice for each database.
ScriptDirectory.from_config = cache(ScriptDirectory.from_config)  # type: ignore[method-assign]

FREE_PORTS = {
    "sandbox_alpaca_port": 0,
    "sandbox_kafka_port": 0,
    "sandbox_kafka_controller_port": 0,
    "sandbox_spark_port": 0,
    "sandbox_snowflake_port": 0,
    "dagster_ui_port": 0,
    "dagster_code_port": 0,
    "stream_port": 0,
    "loader_port": 0,
    "superset_port": 0,
}


def pytest_unconfigure() -> None:
    """What a command set for the end of its own process would have DuckDB report leaks after the tests' last line."""
    atexit.unregister(gc.freeze)


# Begun first, the longest before the others, so that no worker is left with one of them in the end.
LONGEST = (
    "drill/test_drill.py",
    "streaming/test_soak.py",
    "docs/test_tutorial.py",
    "dbt_project/test_increment.py",
    "ingestion/test_topic_load.py",
    "dbt_project/test_quality.py",
    "dbt_project/test_live.py",
    "cli/test_runs.py",
    "cli/test_first_day.py",
    "orchestration/automation/test_republish.py",
    "sandbox/test_supervise.py",
    "dagster_instance/test_run_launcher.py",
)

# What starts programs that answer: the suite's sandbox and its Alpaca alone.
SYSTEMS = {"sandbox", "snowflake", "one_server", "recorded_url", "simulated_url", "recording_client", "replay"}
# Warehouses that many files read.
BUILT = ("recorded", "researched")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that use a system of the sandbox, which `make test-unit` leaves out, and say which stay together.

    Beside other workers a file's tests are one's, with what the file set up; so are all that read the same facts,
    which take a while to build. Said here: what modifies the whole collection runs after pytest and xdist have read
    the marks.
    """
    fixtures = set(getattr(item, "fixturenames", ()))
    if SYSTEMS & fixtures:
        item.add_marker("sandbox")
    built = [warehouse for warehouse in BUILT if {warehouse, "snowflake"} <= fixtures]
    item.add_marker(pytest.mark.xdist_group(built[0] if built else _file(item)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the longest files begin, and in each the tests marked `last` end, as the file has them."""
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys([*LONGEST, *map(_file, items)]))}
    lines = {item: (item.location[1] or 0) if item.get_closest_marker("last") else -1 for item in items}
    items.sort(key=lambda item: (ranks[_file(item)], lines[item]))


def _file(item: pytest.Item) -> str:
    """The file of a test, from the folder of the tests on."""
    return item.path.relative_to(Path(__file__).parent).as_posix()


@pytest.fixture(scope="session")
def sandbox_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of an embedded default of the suite's own: a fresh home, free ports; nothing is started."""
    return Settings(crypto_platform_home=tmp_path_factory.mktemp("home"), **SHARED, **FREE_PORTS)


@pytest.fixture(scope="session")
def sandbox(sandbox_settings: Settings) -> Iterator[Settings]:
    """The embedded Alpaca, Kafka, Spark and Snowflake, up for the whole session; the settings to reach them."""
    with supervise.sandbox(sandbox_settings) as effective:
        yield effective


@pytest.fixture(scope="session")
def snowflake(sandbox_settings: Settings) -> Iterator[Settings]:
    """Settings of a running embedded Snowflake."""
    with supervise.sandbox(sandbox_settings, {"snowflake"}) as effective:
        yield effective


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that this process's sessions send to Snowflake, without the values that are bound to them."""
    from snowflake.connector.cursor import SnowflakeCursor

    statements: list[str] = []
    execute = SnowflakeCursor.execute

    def recording(cursor: SnowflakeCursor, command: str, *arguments: Any, **options: Any) -> Any:
        statements.append(command)
        return execute(cursor, command, *arguments, **options)

    monkeypatch.setattr(SnowflakeCursor, "execute", recording)
    return statements


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Every statement that the connector is given, with its query tag."""
    from snowflake.connector.cursor import SnowflakeCursor

    execute = SnowflakeCursor.execute
    found: list[tuple[str, dict[str, str]]] = []

    def recording(cursor: SnowflakeCursor, command: str, *arguments: Any, **options: Any) -> Any:
        found.append((command, json.loads(options["_statement_params"]["QUERY_TAG"])))
        return execute(cursor, command, *arguments, **options)

    monkeypatch.setattr(SnowflakeCursor, "execute", recording)
    return found


@pytest.fixture(scope="session")
def new_warehouse(snowflake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], "Warehouse"]:
    """Make an empty warehouse in a database of the given name."""
    from crypto_platform_tests.dbt_project.warehouse import Warehouse

    def make(database: str) -> Warehouse:
        settings = snowflake.model_copy(update={"snowflake_database": database})
        warehouse = Warehouse(settings, tmp_path_factory.mktemp(database))
        warehouse.create()
        return warehouse

    return make


@pytest.fixture(scope="session")
def recorded(new_warehouse: Callable[[str], "Warehouse"]) -> "Warehouse":
    """Every recording loaded and built; for reading only."""
    import pandas as pd

    from crypto_platform_tests.dbt_project.warehouse import recording

    warehouse = new_warehouse("RECORDED")
    warehouse.load("crypto", recording("BTC-USD_1Min"), pd.Timestamp("2026-06-01"))
    for symbol in ("SPY", "AAPL", "NVDA"):
        warehouse.load("us_equity", recording(f"{symbol}_15Min"), pd.Timestamp("2026-06-01"))
    warehouse.dbt("build")
    return warehouse


@pytest.fixture(scope="session")
def known() -> "Known":
    """What `researched` was told, and when."""
    from crypto_platform_tests.research.known import told

    return told()


@pytest.fixture(scope="session")
def researched(new_warehouse: Callable[[str], "Warehouse"], known: "Known") -> "Warehouse":
    """Bars and actions, some of them corrected, loaded and built for what reads the marts; for reading only."""
    warehouse = new_warehouse("RESEARCH")
    known.load(warehouse)
    rolled_up = [f"fct_bars_{timeframe}" for timeframe in ("5m", "15m", "1h", "1d_adjusted")]
    versions = ["fct_bar_versions", "fct_corporate_action_versions"]
    others = ["dim_symbols", "dim_universe_members", "fct_gaps"]
    warehouse.build(*rolled_up, *versions, *others)
    return warehouse


@pytest.fixture(scope="session")
def platform_settings(sandbox: Settings) -> Settings:
    """The suite's sandbox with a database that only runs of the whole platform fill.

    dbt's tests look at every feed's rows: what other tests leave in the suite's database is not theirs.
    """
    return sandbox.model_copy(update={"snowflake_database": "PLATFORM"})


@pytest.fixture
def platform(platform_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Those settings as this process's."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    use(platform_settings)
    yield platform_settings
    settings.cache_clear()


@pytest.fixture(scope="session")
def cases() -> Path:
    """Folders of recordings after public reports of what goes wrong elsewhere."""
    return Path(__file__).parent / "fixtures" / "cases"


@pytest.fixture
def fresh_settings(tmp_path: Path) -> Settings:
    """Settings of an embedded default of one test's own; nothing is started."""
    return Settings(crypto_platform_home=tmp_path / "home", **SHARED, **FREE_PORTS)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """The machine's Chromium without a window. Of a module: while it is open, this thread has a running event loop.

    Playwright brings no browser here: `make browser` says how to get one.
    """
    from playwright.sync_api import sync_playwright

    executable = chromium_on_path()
    if executable is None:
        pytest.skip("there is no Chromium on the PATH: `make browser` installs it")
    # As root Chromium runs without its sandbox only; the pages are our own, on loopback.
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=[*quiet, "--disable-component-update"])
        yield chromium
        chromium.close()
