"""A month through the platform: undisturbed on the embedded systems, and on clusters whose parts are killed."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings
from rehearsal import kafka, postgres, s3, spark
from rehearsal.clusters import STAGE, Clusters, in_force, own_environment, pointed
from rehearsal.comparison import Contents, contents, unaccounted
from rehearsal.dashboards import Shown, show
from rehearsal.faults import RUN_SECONDS, CommandError, Disturbed, Fault, disturb
from rehearsal.parts import Tell

_CLI = [sys.executable, "-m", "crypto_platform.cli.app"]
_LAKE_FILES = 5


@dataclass(frozen=True)
class Range:
    """Days of a feed, the end exclusive, in the recordings that are shipped."""

    feed: str
    start: str
    end: str

    @property
    def command(self) -> list[str]:
        return [*_CLI, "materialize", "--feed", self.feed, "--from", self.start, "--to", self.end]


CRYPTO, STOCKS = Range("crypto", "2026-03-01", "2026-04-01"), Range("us_equity", "2026-03-01", "2026-04-01")
RANGES = (CRYPTO, STOCKS)


@dataclass(frozen=True)
class Rehearsed:
    """What the tables hold in the end, what became of the faults, what does not add up, and the dashboards over it."""

    tables: dict[str, Contents]
    runs: dict[str, Disturbed]
    unaccounted: list[str]
    shown: Shown


def undisturbed(installed: Settings, home: Path, tell: Tell) -> dict[str, Contents]:
    """Take RANGES through the embedded systems; what every table holds then."""
    variables = own_environment(installed, home)
    with in_force(variables) as settings, supervise.sandbox(settings, supervise.PIPELINE) as effective:
        for taken in RANGES:
            ran = subprocess.run(
                taken.command,
                env=variables,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=RUN_SECONDS,
            )
            if ran.returncode != 0:
                raise CommandError(f"{taken.feed} fails on the embedded systems, undisturbed:\n{ran.stdout[-3000:]}")
            tell(f"{taken.feed}: undisturbed on the embedded systems")
        return contents(effective)


def rehearse(installed: Settings, home: Path, clusters: Clusters, tell: Tell) -> Rehearsed:
    """Take RANGES through the clusters, each part killed in the middle of it, and show them in the dashboards."""
    variables = pointed(installed, home, clusters.addresses)
    runs: dict[str, Disturbed] = {}
    with in_force(variables) as settings, supervise.sandbox(settings, {"alpaca", "snowflake"}) as effective:
        create_stage(effective)
        for taken, faults in ((CRYPTO, _of_crypto(clusters)), (STOCKS, _of_stocks(clusters))):
            runs[taken.feed] = disturb(taken.command, variables, faults, clusters.parts, home, tell)
            tell(f"{taken.feed}: through, attempts {runs[taken.feed].attempts}")
        shown = show(effective, clusters.parts, tell)
        return Rehearsed(contents(effective), runs, unaccounted(effective), shown)


def create_stage(settings: Settings) -> None:
    """The external stage over STAGE_URL, as `crypto-platform snowflake setup` has it made on an account."""
    _, _, path = settings.stage.partition("://")
    with connect(settings) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW")
        cursor.execute(f"CREATE STAGE IF NOT EXISTS {STAGE} URL = 's3://{path}/'")


def _of_crypto(clusters: Clusters) -> Sequence[Fault]:
    lake, staged = _objects(clusters, "lake/market/crypto/1Min"), _objects(clusters, "landing/loads/crypto")
    return (
        Fault("S3, while days are written to the lake", lambda: s3.NAME, when=lambda: lake() >= _LAKE_FILES),
        Fault(
            "a broker, between two days of a publication", other_broker(clusters), _whole(clusters), "during_publish"
        ),
        Fault(
            "a Spark worker, while it writes the stage",
            lambda: spark.WORKERS[0],
            at="before_parquet",
            when=lambda: staged() > 0,
        ),
        Fault("Postgres, after the load's commit", lambda: postgres.NAME, at="after_commit"),
    )


def _of_stocks(clusters: Clusters) -> Sequence[Fault]:
    staged = _objects(clusters, "landing/loads/us_equity")
    return (
        Fault(
            "the active controller, within a publication", controller(clusters), _whole(clusters), at="during_publish"
        ),
        Fault("S3, while Spark writes the stage", lambda: s3.NAME, at="before_parquet", when=lambda: staged() > 0),
    )


def _whole(clusters: Clusters) -> Callable[[], bool]:
    return clusters.kafka.is_whole


def controller(clusters: Clusters) -> Callable[[], str]:
    """The name of the broker that is the active controller when it is asked."""
    return lambda: clusters.kafka.name(clusters.kafka.active_controller())


def other_broker(clusters: Clusters) -> Callable[[], str]:
    """The name of one that is not."""

    def choose() -> str:
        active = clusters.kafka.active_controller()
        return clusters.kafka.name(next(node for node in kafka.NODES if node != active))

    return choose


def _objects(clusters: Clusters, prefix: str) -> Callable[[], int]:
    """How many objects S3 holds below the prefix, a bucket first."""
    folder = clusters.objects / prefix
    return lambda: sum(path.is_file() for path in folder.rglob("*")) if folder.exists() else 0
