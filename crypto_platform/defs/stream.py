"""What comes by stream: loaded by the daemon where no loader follows the topics, else observed."""

import dagster as dg

from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.feeds.drain import drain_job, offsets_sensor
from crypto_platform.orchestration.feeds.live import live_sensor


@dg.definitions
def stream() -> dg.Definitions:
    topics = [(feed, dataset) for feed, spec in feeds().items() for dataset in spec.followed]
    jobs = [drain_job(*topic) for topic in topics]
    sensors = [offsets_sensor(*topic, job) for topic, job in zip(topics, jobs, strict=True)]
    return dg.Definitions(jobs=jobs, sensors=[*sensors, live_sensor()])
