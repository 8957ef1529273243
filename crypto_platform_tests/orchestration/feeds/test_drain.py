"""The sensor on topic offsets: asks for what is there, once, and for nothing else."""

import dagster as dg
import pytest

from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.locks import following
from crypto_platform.market.bars import BARS
from crypto_platform.orchestration.feeds import drain
from crypto_platform.orchestration.feeds.drain import drain_job, evaluate, offsets_sensor
from crypto_platform.settings import Settings
from crypto_platform_tests import factories


@pytest.mark.parametrize(
    ("status", "asks"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, False),
        (dg.DagsterRunStatus.STARTED, False),
        (dg.DagsterRunStatus.SUCCESS, True),
        (dg.DagsterRunStatus.FAILURE, True),
    ],
)
def test_no_second_run_is_asked_for_while_one_is_not_over(
    monkeypatch: pytest.MonkeyPatch, status: dg.DagsterRunStatus, asks: bool
) -> None:
    monkeypatch.setattr(drain, "evaluate", lambda *_: dg.SensorResult(run_requests=[dg.RunRequest("new")]))
    job = drain_job("made", BARS)
    assert job.tags["crypto_platform/feed"] == "made"
    assert dg.DagsterRunStatus.QUEUED in drain.UNFINISHED
    sensor = offsets_sensor("made", BARS, job)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(job, status=status)
        instance.create_run_for_job(drain_job("other", BARS), status=dg.DagsterRunStatus.STARTED)
        told = sensor(dg.build_sensor_context(instance))
    assert isinstance(told, dg.SensorResult) == asks


@pytest.mark.sandbox
def test_what_lies_on_a_topic_is_asked_for_until_it_is_drained(sandbox: Settings) -> None:
    feed = factories.feed_name()
    missing = evaluate(sandbox, feed, None)
    assert isinstance(missing, dg.SkipReason)
    assert "does not exist" in (missing.skip_message or "")
    publish(sandbox, feed, [factories.day({"BTC/USD": [factories.bar(n) for n in range(5)]})], "run")
    asked = evaluate(sandbox, feed, None)
    assert isinstance(asked, dg.SensorResult)
    (request,) = asked.run_requests or []
    assert request.run_key
    assert request.run_key.startswith(f"market.{feed}.bars:")
    assert ":0-5:" in request.run_key
    assert request.tags["lag_messages"] == "5"
    with following(sandbox, BARS.topic(feed)):
        beside = evaluate(sandbox, feed, asked.cursor)
    assert isinstance(beside, dg.SkipReason)
    assert topic_load.load(sandbox, feed, "run").loaded == 5
    drained = evaluate(sandbox, feed, asked.cursor)
    assert isinstance(drained, dg.SensorResult)
    assert not drained.run_requests
    quiet = evaluate(sandbox, feed, drained.cursor)
    assert isinstance(quiet, dg.SkipReason)
