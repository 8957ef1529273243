"""How long a run that waits for a slot of a pool sleeps between two looks for it.

Of the times at which its steps are to look again Dagster 1.13 takes `min([0, …])`, so that its in-process executor
never sleeps: each run that waits for another keeps a core busy.
"""

import time

from crypto_platform.dagster_instance.internals import InstanceConcurrencyContext


def sleep_until_the_next_look() -> None:
    """Have runs of this process sleep until the first of their waiting steps is to look again."""
    InstanceConcurrencyContext.interval_to_next_pending_claim_check = _seconds  # type: ignore[assignment]


def _seconds(waiting: InstanceConcurrencyContext) -> float:
    """Until the next look for a slot; 0 where no step waits."""
    return max(0.0, min(waiting._pending_timeouts.values(), default=0.0) - time.time())
