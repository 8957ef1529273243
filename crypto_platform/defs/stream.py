"""What comes by stream: loaded by the daemon where no loader follows the topics, else observed."""

import dagster as dg

from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.feeds.drain import drain_job, offsets_sensor
from crypto_platform.orchestration.feeds.live import live_sensor


@dg.definitions
def stream() -> dg.Definitions:
    jobs = {feed: drain_job(feed) for feed in feeds()}
    sensors = [offsets_sensor(feed, job) for feed, job in jobs.items()]
    return dg.Definitions(jobs=list(jobs.values()), sensors=[*sensors, live_sensor()])
