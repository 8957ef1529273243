"""A run that waits for a pool's slot leaves the core to the run that has it."""

import threading
import time

import dagster as dg
import pytest

from crypto_platform.dagster_instance import pool_wait
from crypto_platform.dagster_instance.internals import InstanceConcurrencyContext

POOL = "dbt"


@pytest.fixture(autouse=True)
def _mended(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "interval_to_next_pending_claim_check"
    monkeypatch.setattr(InstanceConcurrencyContext, name, getattr(InstanceConcurrencyContext, name))
    pool_wait.sleep_until_the_next_look()


@pytest.mark.slow
def test_a_waiting_run_sleeps_and_begins_once_the_slot_is_free(tmp_path_factory: pytest.TempPathFactory) -> None:
    began = threading.Event()
    free_after, spent = 3.0, {}

    @dg.op(pool=POOL)
    def hold() -> None:
        began.set()
        time.sleep(free_after)

    @dg.op(pool=POOL)
    def wait() -> None:
        spent["cpu"] = time.thread_time() - spent["cpu"]

    holding = dg.GraphDefinition("holding", node_defs=[hold]).to_job(executor_def=dg.in_process_executor)
    waiting = dg.GraphDefinition("waiting", node_defs=[wait]).to_job(executor_def=dg.in_process_executor)
    home = str(tmp_path_factory.mktemp("dagster"))
    with dg.instance_for_test(temp_dir=home, overrides={"concurrency": {"pools": {"default_limit": 1}}}) as instance:
        holder = threading.Thread(target=lambda: holding.execute_in_process(instance=instance))
        holder.start()
        assert began.wait(60)
        spent["cpu"] = time.thread_time()
        assert waiting.execute_in_process(instance=instance).success
        holder.join()
    # Its start alone is a few tenths; a spinning one takes nearly all of the time that the slot is held.
    assert spent["cpu"] < free_after / 2
