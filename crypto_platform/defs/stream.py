"""What comes by stream, loaded by the daemon where no loader follows the topics."""

import dagster as dg

from crypto_platform.feeds.drain import drain_job, offsets_sensor
from crypto_platform.feeds.spec import feeds


@dg.definitions
def stream() -> dg.Definitions:
    jobs = {feed: drain_job(feed) for feed in feeds()}
    return dg.Definitions(jobs=list(jobs.values()), sensors=[offsets_sensor(feed, job) for feed, job in jobs.items()])
