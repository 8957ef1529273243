"""What comes by stream: loaded by the daemon where no loader follows the topics, else observed."""

import dagster as dg

from crypto_platform.feeds.drain import drain_job, offsets_sensor
from crypto_platform.feeds.live import live_sensor
from crypto_platform.feeds.spec import feeds


@dg.definitions
def stream() -> dg.Definitions:
    jobs = {feed: drain_job(feed) for feed in feeds()}
    sensors = [offsets_sensor(feed, job) for feed, job in jobs.items()]
    return dg.Definitions(jobs=list(jobs.values()), sensors=[*sensors, live_sensor()])
