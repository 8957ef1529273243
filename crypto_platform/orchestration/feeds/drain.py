"""A feed's topic drained whenever something lies on it: a job without partitions, and the sensor that asks for it.

What a day's run loads, it loads anyway; this is for what comes by stream, where no loader follows the topic.
"""

import json
import time

import dagster as dg

from crypto_platform.dagster_instance.internals import NOT_FINISHED_STATUSES as UNFINISHED
from crypto_platform.market.bars import BARS
from crypto_platform.market.dataset import Dataset
from crypto_platform.orchestration.asset_keys import ledger_key
from crypto_platform.orchestration.feeds.component import FEED_TAG
from crypto_platform.orchestration.resources import KafkaResource, SparkConnectResource
from crypto_platform.settings import Settings, settings

# A range that was asked for and is still there is asked for again after so long: its run has failed.
AGAIN_SECONDS = 600
EVERY_SECONDS = 30


def drain_job(feed: str, dataset: Dataset) -> dg.JobDefinition:
    """The job `<feed>_topic_load`, or `<feed>_<dataset>_topic_load`: one load, told as an observation of the ledger."""
    name, topic = _name(feed, dataset), dataset.topic(feed)

    @dg.op(
        name=f"load_{name}_topic",
        pool=topic,
        description=f"Loads what {topic} holds beyond the ledger.",
    )
    def drain(context: dg.OpExecutionContext, kafka: KafkaResource, pyspark: SparkConnectResource) -> None:
        from crypto_platform.ingestion import topic_load

        report = topic_load.load(
            kafka.settings, feed, context.run.run_id, spark=lambda: pyspark.spark_session, dataset=dataset
        )
        found = report.metadata()
        found.pop("duration_by_step")
        context.log_event(dg.AssetObservation(ledger_key(feed, dataset), metadata=found))

    @dg.job(
        name=f"{name}_topic_load",
        description=f"Drain {topic} into {dataset.ledger(feed)}, whatever days are in it.",
        tags={FEED_TAG: feed},
    )
    def job() -> None:
        drain()

    return job


def offsets_sensor(feed: str, dataset: Dataset, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Asks for the job when the topic has grown and nobody follows it; its cursor is where the topic was drained to."""

    @dg.sensor(
        name=f"{_name(feed, dataset)}_topic_lag_sensor",
        job=job,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Starts {job.name} when {dataset.topic(feed)} holds what the ledger does not and no loader "
        "follows it.",
    )
    def new_offsets(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        unfinished = dg.RunsFilter(job_name=job.name, statuses=UNFINISHED)
        if context.instance.get_runs_count(unfinished):
            # One that waits for the topic's pool takes what has come meanwhile as well.
            return dg.SkipReason(f"a run of {job.name} is not over")
        return evaluate(settings(), feed, context.cursor, dataset)

    return new_offsets


def evaluate(
    settings: Settings, feed: str, cursor: str | None, dataset: Dataset = BARS
) -> dg.SensorResult | dg.SkipReason:
    """One tick: Snowflake, which is paid for by the minute, is only asked when the topic has grown."""
    from crypto_platform.connectors.kafka.admin import TopicError, topic_state
    from crypto_platform.connectors.snowflake import schema
    from crypto_platform.connectors.snowflake.connection import connect
    from crypto_platform.ingestion import offsets
    from crypto_platform.ingestion.locks import is_followed

    try:
        ends = topic_state(settings, feed, dataset).end
    except TopicError as error:
        return dg.SkipReason(str(error))
    told = json.dumps(ends, sort_keys=True)
    if told == cursor:
        return dg.SkipReason("nothing new on the topic")
    topic = dataset.topic(feed)
    if is_followed(settings, topic):
        return dg.SkipReason("a loader follows the topic")
    with connect(settings, "sensors") as connection:
        schema.ensure_schema(connection, feed, dataset)
        recorded = offsets.recorded(connection, feed, topic).next_offsets
    ranges = {p: (recorded.get(p, 0), end) for p, end in ends.items() if end != recorded.get(p, 0)}
    if not ranges:
        return dg.SensorResult(skip_reason="everything is in the ledger", cursor=told)
    span = ",".join(f"{p}:{first}-{end}" for p, (first, end) in sorted(ranges.items()))
    lag = sum(end - first for first, end in ranges.values())
    request = dg.RunRequest(
        run_key=f"{topic}:{span}:{int(time.time() // AGAIN_SECONDS)}", tags={"lag_messages": str(lag)}
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _name(feed: str, dataset: Dataset) -> str:
    """A feed's bars go by its name."""
    return feed if dataset is BARS else f"{feed}_{dataset.name}"
