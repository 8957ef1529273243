"""The live path on the clusters: the soak's disturbances and comparison, and the clusters' parts killed as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.services import LIVE
from crypto_platform.settings import Settings
from crypto_platform_tests.streaming import soak
from rehearsal import postgres, s3, spark
from rehearsal.backfill import controller, create_stage, other_broker
from rehearsal.clusters import Clusters, in_force, pointed
from rehearsal.faults import Fault, Recovery, fire
from rehearsal.parts import Tell

KEY = "rehearsal"


def live(
    installed: Settings, home: Path, clusters: Clusters, minutes: float, tell: Tell
) -> tuple[soak.Outcome, list[Recovery]]:
    """Stream and load for so many minutes while everything is killed, and compare with REST.

    Topics and lake are fresh, the ledger is an emulator's of its own. Returns the soak's outcome, and what became of
    the faults of the clusters.
    """
    clusters.kafka.delete_topics()
    to = replace(clusters.addresses, lake="s3://lake/live")
    faults = {
        fault.name: fault
        for fault in (
            Fault("broker", other_broker(clusters), clusters.kafka.is_whole),
            Fault("active controller", controller(clusters), clusters.kafka.is_whole),
            Fault("Spark worker", lambda: spark.WORKERS[1]),
            Fault("Postgres", lambda: postgres.NAME),
            Fault("S3", lambda: s3.NAME),
        )
    }
    recoveries: list[Recovery] = []

    @contextmanager
    def start(home: Path, url: str) -> Iterator[Settings]:
        own = Settings(
            apca_api_data_url=url,
            apca_api_key_id=KEY,
            apca_api_secret_key=KEY,
            stream_reconcile_interval_seconds=600,
        )
        with supervise.sandbox(own, {"snowflake"}) as settings:
            create_stage(settings)
            with supervise.sandbox(own, LIVE):
                yield settings

    def kill(settings: Settings, name: str) -> str:
        if name not in faults:
            return soak.kill(settings, name)
        recoveries.append(fire(faults[name], clusters.parts, tell))
        return f"kill -9 {name}"

    platform = soak.Platform(start, kill, (*faults, *LIVE), ("snowflake", *LIVE))
    with in_force(pointed(installed, home, to)):
        return soak.soak(minutes, home, tell, platform=platform), recoveries
