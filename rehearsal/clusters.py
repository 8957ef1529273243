"""All clusters of one rehearsal, and the environment by which the platform is pointed at them."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crypto_platform.sandbox.ports import free_ports
from crypto_platform.settings import ENV_FILE_VARIABLE, Settings
from rehearsal import certificates, kafka, postgres, s3, spark
from rehearsal.environment import Addresses, environment
from rehearsal.parts import Parts, Tell

STAGE = "MARKET.RAW.LANDING"


@dataclass(frozen=True)
class Clusters:
    """What runs, and where; `objects` is the folder of S3's buckets."""

    parts: Parts
    kafka: kafka.Cluster
    spark: spark.Cluster
    objects: Path
    addresses: Addresses


@contextmanager
def running(settings: Settings, home: Path, tell: Tell) -> Iterator[Clusters]:
    """Every cluster, one after another; they end with the block. `settings`: of what is installed here.

    Raises:
        PartError: a part does not start.
    """
    store, broker, controller, app, s3_secret, database, cluster, token = (secrets.token_hex(16) for _ in range(8))
    found = free_ports(16)
    kafka_ports, s3_port, postgres_port, spark_ports = found[:6], found[6], found[7], found[8:]
    made = certificates.make(home / "tls", store)
    brokers = kafka.Cluster(settings, home / "kafka", kafka_ports, made, kafka.Logins(broker, controller, app, store))
    workers = spark.Cluster(settings, home / "spark", spark_ports, cluster, token)
    with Parts(home / "logs", tell) as parts:
        parts.start(*brokers.parts())
        brokers.allow()
        parts.start(s3.part(settings, home / "s3", s3_port, s3_secret))
        parts.start(postgres.part(home / "postgres", postgres_port, database))
        postgres.create_databases(postgres_port, database)
        for part in workers.parts(s3.endpoint(s3_port), s3.REGION, s3.USER, s3_secret):
            parts.start(part)
        parts.start(workers.proxy(made))
        yield Clusters(
            parts=parts,
            kafka=brokers,
            spark=workers,
            objects=s3.data(home / "s3"),
            addresses=Addresses(
                kafka_servers=brokers.servers,
                kafka_username=brokers.USER,
                kafka_password=app,
                authority=str(made.authority),
                spark_remote=workers.remote,
                spark_token=token,
                lake="s3://lake/market",
                stage="s3a://landing/loads",
                external_stage=STAGE,
                s3_endpoint=s3.endpoint(s3_port),
                s3_region=s3.REGION,
                s3_key=s3.USER,
                s3_secret=s3_secret,
                dagster_database=postgres.url(postgres_port, database, "dagster"),
                alerts_database=postgres.url(postgres_port, database, "alerts"),
                superset_database=postgres.url(postgres_port, database, "superset"),
            ),
        )


def own_environment(installed: Settings, home: Path) -> dict[str, str]:
    """This process's environment without any setting, but for a home of the rehearsal's own and free ports."""
    names = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    ports = {name.upper(): "0" for name in Settings.model_fields if name.endswith("_port")}
    given = {name.upper(): str(value) for name, value in installed.installed.items() if value is not None}
    own = {
        ENV_FILE_VARIABLE: os.devnull,
        "CRYPTO_PLATFORM_HOME": str(home),
        "SANDBOX_STARTUP_TIMEOUT_SECONDS": "300",
    }
    return kept | ports | given | own


def pointed(installed: Settings, home: Path, to: Addresses) -> dict[str, str]:
    """`own_environment`, with the addresses by the documented variables."""
    return own_environment(installed, home) | environment(to)


@contextmanager
def in_force(variables: dict[str, str]) -> Iterator[Settings]:
    """These variables are this process's environment for the block; yields the settings that they make."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
