"""`crypto-platform first-day`: a day through every stage, apart from all there is, and a report to send on."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crypto_platform.cli.pipeline import FAILURE, Live, Recordings, Simulated, Symbols, usage

if TYPE_CHECKING:
    from rich.console import Console

    from crypto_platform.cli.first_day_report import Report
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.market.feed_spec import FeedSpec
    from crypto_platform.settings import Settings

SYMBOLS = 3
FOLDER = "first-day"
# Settings that the trial has from the platform, by how their names begin: the systems and their logins, how they are
# used, and what setup installed. All else, stores, channels, collectors and ports, is at its default or its own.
_TAKEN = ("apca_", "alpaca_", "data_origin", "kafka_", "spark_", "snowflake_", "stage_url", "sandbox_", "run_limit_")
# Checks of what the trial does not use, or needs less of: these are for the days after.
_FOR_LATER = ("snowflake", "snowflake for dbt", "snowflake for dashboards", "superset")

_DOCTOR = "`crypto-platform doctor` checks the systems and their logins"
REMEDIATIONS = {
    "checks": "do what the failed checks say",
    "plan": "choose another --day or --symbols",
    "systems": _DOCTOR,
    "alpaca": f"the keys (APCA_API_KEY_ID, APCA_API_SECRET_KEY), their plan, the day: {_DOCTOR}",
    "kafka": f"the brokers' login and ACLs, docs/reference/production.md: {_DOCTOR}",
    "raw": f"Spark, the stage and Snowflake's login, docs/how-to/snowflake.md: {_DOCTOR}",
    "dbt": "the role owns the trial's database, and what dbt says is above: send it with the report",
    "database": "a role that may: GRANT CREATE DATABASE ON ACCOUNT TO ROLE …, or SNOWFLAKE_ROLE=SYSADMIN for the trial",
    "figures": f"the stages themselves passed: {_DOCTOR}",
}


class StageFailedError(Exception):
    """A stage of the first day failed; says which, and what to do."""

    def __init__(self, stage: str, error: str, remediation: str = "") -> None:
        super().__init__(error)
        self.stage = stage
        self.remediation = remediation or REMEDIATIONS.get(stage.partition(" ")[0], _DOCTOR)


def first_day(
    feed: Annotated[str, typer.Option(help="The feed: a folder under crypto_platform/defs.")] = "crypto",
    symbols: Symbols = "",
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="UTC day; left out: the newest whole one."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="File of the report; left out: one named by the time, in this folder.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what was made, to look at it; the report says how.")
    ] = False,
    recordings: Recordings = None,
    simulated: Simulated = False,
    live: Live = False,
) -> None:
    """Try the systems of the settings with one day of a few symbols, and write a report that can be sent on.

    Checks them, shows the requests that Alpaca's limit allows, and takes the day through every stage: Alpaca, Kafka,
    Spark, Snowflake, dbt. All of it is apart from what there is, in a home of its own, on an account in a database of
    its own (MARKET_FIRST_DAY), on a cluster in topics that were not there: these are removed in the end, also after a
    failure. Nothing that was there before is written to. The report has counts, seconds, statements and estimated
    credits, and no value of any setting. On an account the role must be one that may create a database. Exit code 1: a
    stage failed.

    Example: crypto-platform first-day --live --feed us_equity --symbols AAPL,SPY
    """
    from crypto_platform.cli.console import stdout
    from crypto_platform.cli.first_day_report import Failure
    from crypto_platform.cli.redaction import Redaction
    from crypto_platform.cli.source_option import SourceOption
    from crypto_platform.settings import settings

    chosen, console = settings(), stdout()
    path = (report or Path(f"first-day-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.md")).absolute()
    with usage():
        source = SourceOption(recordings, simulated, live)
        if path.exists() or not path.parent.is_dir():
            raise ValueError(f"--report {path}: name a new file in a folder that is there")
        trial = _settings_of_trial(chosen)
        if trial.crypto_platform_home.exists():
            raise ValueError(
                f"{trial.crypto_platform_home} is there already, of a first day that was kept or killed: look at it, "
                "then remove it"
            )
        found = _started(chosen, trial, source, feed, symbols, day and day.date())
    redaction = Redaction(chosen)
    try:
        with ExitStack() as stack:
            _take(chosen, trial, source, found, keep, stack, console)
    except StageFailedError as failed:
        found.failure = Failure(failed.stage, str(failed), failed.remediation)
    except (KeyboardInterrupt, SystemExit):
        found.failure = Failure("an interruption", "it was interrupted", "run it again")
    finally:
        path.write_text(found.markdown(redaction))
        console.print(f"Report: {path}", soft_wrap=True)
    if found.failure:
        typer.echo(f"Failed at {found.failure.stage}: {found.failure.error}\n→ {found.failure.remediation}", err=True)
        raise typer.Exit(FAILURE)
    for what, became in found.clean_up:
        console.print(f"{what}: {became}", markup=False)
    console.print("Passed.")


def _settings_of_trial(chosen: "Settings") -> "Settings":
    """The systems of the settings, and everything that is kept somewhere in places of the trial's own."""
    from crypto_platform.settings import Settings

    fields = Settings.model_fields
    other = {name: field.default for name, field in fields.items() if not name.startswith(_TAKEN)}
    own: dict[str, Any] = {name: 0 for name in fields if name.endswith("_port")}
    own |= {name: None for name in fields if name.startswith("snowflake_dbt_")}
    own["crypto_platform_home"] = chosen.crypto_platform_home / FOLDER
    own["snowflake_database"] = f"{chosen.snowflake_database}_FIRST_DAY"
    if "://" in (chosen.lake_url or ""):
        own["lake_url"] = f"{chosen.lake_url}/{FOLDER}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    return chosen.model_copy(update=other | chosen.installed | own)


def _started(
    chosen: "Settings", trial: "Settings", source: "SourceOption", feed: str, symbols: str, day: date | None
) -> "Report":
    """The report, with the day and the symbols that are asked for, or else chosen.

    Raises:
        ValueError: the feed, a symbol or the day cannot be.
    """
    from crypto_platform.cli.first_day_report import Report
    from crypto_platform.cli.pipeline import names
    from crypto_platform.cli.runs import MaterializationRequest, feed_named
    from crypto_platform.connectors.lake import Lake
    from crypto_platform.ingestion.universe import union
    from crypto_platform.market.day_ranges import ONE_DAY

    spec = feed_named(feed)
    kind = source.origin(chosen)
    wanted = day or _newest_day(chosen, source, feed, spec, kind)
    named = names(symbols)
    members = union(MaterializationRequest(feed, wanted, wanted + ONE_DAY, named).chosen(Lake(trial.lake)))
    bars = {
        "market": "Alpaca: the market's bars",
        "recorded": "the sandbox server: **recorded bars**, nothing was requested from Alpaca",
        "simulated": "the sandbox server: **simulated bars**, no price of them was ever paid",
    }
    systems = {
        "Alpaca": bars[kind],
        "Kafka": "a cluster" if trial.kafka_bootstrap_servers else "embedded, one broker",
        "Spark": "a cluster" if trial.spark_remote else "embedded, one machine",
        "Snowflake": "**emulator**, not Snowflake" if trial.embedded_snowflake else "an account",
    }
    return Report(feed, members if named else members[:SYMBOLS], wanted, systems, datetime.now(UTC))


def _newest_day(chosen: "Settings", source: "SourceOption", feed: str, spec: "FeedSpec", kind: str) -> date:
    """The newest day that the source has whole."""
    from crypto_platform.cli import demo
    from crypto_platform.market.day_ranges import ONE_DAY
    from crypto_platform.market.freshness import expected

    if kind == "recorded" and chosen.apca_api_data_url is None:
        held = [one.end for one in demo.requests(source.recordings or chosen.sandbox_recordings) if one.feed == feed]
        if held:
            return max(held) - ONE_DAY
    newest = expected(spec, datetime.now(UTC))
    if kind == "recorded" or newest is None:
        raise ValueError(f"{source.label}: it is not known which days it has of {feed}: choose one by --day")
    return newest.day


def _take(
    chosen: "Settings",
    trial: "Settings",
    source: "SourceOption",
    report: "Report",
    keep: bool,
    stack: ExitStack,
    console: "Console",
) -> None:
    """The first day itself; what it makes is removed as the stack unwinds.

    Raises:
        StageFailedError: a stage failed; the report has what was found until then.
    """
    from crypto_platform.cli import doctor
    from crypto_platform.cli.console import plan_table, run_table
    from crypto_platform.cli.pipeline import run
    from crypto_platform.cli.runs import MaterializationRequest
    from crypto_platform.dagster_instance.home import dagster_home
    from crypto_platform.market.day_ranges import ONE_DAY
    from crypto_platform.market.feed_spec import feeds
    from crypto_platform.orchestration.automation import backfill
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.settings import use

    def made(what: str, remove: Callable[[], None], by_hand: str) -> None:
        stack.callback(_remove, report, what, remove, by_hand, keep)

    spec = feeds()[report.feed]
    home = trial.crypto_platform_home
    with _stage("systems"):
        # Of two at a time the second fails here.
        home.mkdir(parents=True)
    made(f"the folder {home}", lambda: shutil.rmtree(home), f"rm -r {home}")
    stack.callback(use, chosen)
    with _stage("systems"):
        addressed = stack.enter_context(source.address(trial))
    console.print("Checking …")
    with _stage("checks"):
        # The logins are for the platform's own database, which may not be there yet.
        checked = addressed.model_copy(
            update={name: getattr(chosen, name) for name in type(chosen).model_fields if name.startswith("snowflake_")}
        )
        for finding in doctor.examine(checked):
            report.findings.append(finding)
            console.print(f"{'✓' if finding.ok else '✗'} {finding.check}: {finding.found}", markup=False)
        wrong = [one for one in report.findings if not one.ok and one.check not in _FOR_LATER]
        if wrong:
            raise StageFailedError(
                "checks", "\n".join(f"{one.check}: {one.found}\n→ {one.remediation}" for one in wrong)
            )
    with _stage("plan"):
        request = MaterializationRequest(report.feed, report.day, report.day + ONE_DAY, report.symbols)
        report.plan = backfill.plan(addressed, report.feed, spec, report.symbols, [report.day])
        console.print(plan_table(request, report.symbols, report.plan, report.systems["Alpaca"].replace("**", "")))
    _own_topics(addressed, report.feed, spec, made)
    _own_database(addressed, made)
    if "://" in trial.lake:
        made("the lake's folder in the bucket", lambda: _remove_lake(trial.lake), f"remove {trial.lake}")
    with _stage("systems"):
        effective = stack.enter_context(supervise.sandbox(addressed, supervise.PIPELINE, display.starting(console)))
        effective = effective.model_copy(update={"dagster_home": dagster_home(effective)})
        use(effective)
    began = datetime.now(UTC)
    console.print("Taking the day through every stage …")
    # Whatever becomes of the run: what was sent is part of the report.
    with _stage("systems"):
        done = run(request, source, console)
    report.stages = done.stages
    console.print(run_table(done))
    try:
        with _stage("figures"):
            _count(effective, done.run_id, began, report)
    except StageFailedError:
        # What kept the run from its end may keep these from being told.
        if done.ok:
            raise
    if not done.ok:
        errors = "\n".join(dict.fromkeys(done.errors))
        raise StageFailedError(done.failed_stage or "the run", errors)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Whatever fails in the block is the stage's failure: it ends in the report, after the clean-up."""
    try:
        yield
    except StageFailedError:
        raise
    except Exception as error:
        raise StageFailedError(name, f"{type(error).__name__}: {error}") from error


def _remove(report: "Report", what: str, remove: Callable[[], None], by_hand: str, keep: bool) -> None:
    if keep:
        report.clean_up.append((what, f"kept; to remove it: {by_hand}"))
        return
    try:
        remove()
    except Exception as error:
        report.clean_up.append((what, f"**not removed**: {error}. By hand: {by_hand}"))
    else:
        report.clean_up.append((what, "removed"))


Made = Callable[[str, Callable[[], None], str], None]


def _own_topics(settings: "Settings", feed: str, spec: "FeedSpec", made: Made) -> None:
    """See that the feed's topics on a cluster are none that were there before."""
    from crypto_platform.connectors.kafka.admin import delete, present

    if settings.kafka_bootstrap_servers is None:
        return
    topics = [dataset.topic(feed) for dataset in spec.datasets]
    with _stage("kafka"):
        if there := present(settings, topics):
            raise StageFailedError(
                "kafka",
                f"{', '.join(sorted(there))} is on the cluster already, and a trial writes to nothing that is there",
                "take KAFKA_BOOTSTRAP_SERVERS out for the trial, which then has a broker of its own; or name another "
                "cluster, or another --feed",
            )
    made(
        f"topics of {feed}",
        lambda: delete(settings, topics),
        f"kafka-topics.sh --delete --topic 'market[.]{feed}[.].*', as a user who may",
    )


def _own_database(settings: "Settings", made: Made) -> None:
    """Make the trial's database on an account; the emulator makes its own in the trial's home."""
    from crypto_platform.connectors.snowflake.connection import connect

    if settings.embedded_snowflake:
        return
    name = settings.snowflake_database
    with _stage("database"), connect(settings) as connection:
        # Fails where there is one: what was there before is never dropped.
        connection.cursor().execute(
            f"CREATE DATABASE {name} DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = 'crypto_platform: first-day'"
        )

    def drop() -> None:
        with connect(settings) as connection:
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {name}")

    made(f"the database {name}", drop, f"DROP DATABASE {name}")


def _remove_lake(url: str) -> None:
    import fsspec

    file_system, root = fsspec.core.url_to_fs(url)
    if file_system.exists(root):
        file_system.rm(root, recursive=True)


def _count(settings: "Settings", run_id: str, began: datetime, report: "Report") -> None:
    """Rows, dbt's results, statements and the warehouse's size, as far as the run came."""
    import orjson

    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.connectors.snowflake.ledger_checks import balance
    from crypto_platform.connectors.snowflake.query_history import statements, warehouse_size
    from crypto_platform.connectors.snowflake.statements import rows
    from crypto_platform.market.bars import BARS
    from crypto_platform.transform.project import run_folder

    report.statements = statements(settings, began)
    report.size = warehouse_size(settings)
    results = run_folder(settings, run_id) / "run_results.json"
    if results.exists():
        nodes = orjson.loads(results.read_bytes())["results"]
        counts = Counter(f"dbt {node['unique_id'].split('.')[0]}: {node['status']}" for node in nodes)
        report.dbt = dict(sorted(counts.items()))
    done = {stage.name for stage in report.stages}
    with connect(settings) as connection:
        if "raw" in done:
            report.tables[f"{BARS.ledger(report.feed)}, versions"] = balance(connection, report.feed).held
        if "dbt" in done:
            facts = "SELECT count(*) FROM MARTS.FCT_BARS WHERE feed = %s"
            ((count,),) = rows(connection.cursor(), facts, (report.feed,))
            report.tables["MARTS.FCT_BARS, bars"] = int(count)
