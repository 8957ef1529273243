"""Automation: what comes after a stage follows it without a hand, whatever day it is.

A feed's own jobs and backfills of whole jobs contain everything; this is for stages that are materialised alone, in
the UI or by another program, and for the other stages of their days.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_

import dagster as dg

from crypto_platform.dagster_instance.internals import EntitySubset, SubsetAutomationCondition
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.feed_spec import feeds
from crypto_platform.orchestration.asset_keys import STAGES, action_key, stage_key


def after_stages(
    feed: str, stage: str, key: Callable[[str, str], dg.AssetKey] = stage_key
) -> dg.AutomationCondition | None:
    """The condition of one of a feed's stages; None for the first, which schedules and people ask for."""
    before = STAGES[: STAGES.index(stage)]
    return _after(key(feed, name) for name in before) if before else None


def after_feeds() -> dg.AutomationCondition:
    """The condition of every dbt model, seed and snapshot: after any feed's ledger.

    The same for all of them, so that they are asked for together: one dbt build, as in the feeds' jobs. By their own
    dependencies a seed would never be asked for, and a model of a fresh warehouse would miss it. After the ledger, not
    with it: Dagster asks for assets of other partitions in a run of their own, which would not wait for the stages'.
    """
    bars = [stage_key(feed, STAGES[-1]) for feed in feeds()]
    actions = [action_key(feed, STAGES[-1]) for feed, spec in feeds().items() if CORPORATE_ACTIONS in spec.datasets]
    return _after(bars + actions)


class UpdatedByAnotherRun(SubsetAutomationCondition[dg.AssetKey]):
    """The partitions that were materialised since the last tick by a run that left out the asset whose condition it is.

    What Dagster has for it, `newly_updated() & ~executed_with_root_target()`, knows the run of the last partition of a
    range only: of every run over several days, all days but the last would be run twice. It is not registered for
    serialisation, so that Dagster leaves it to the code server.
    """

    def compute_subset(self, context: dg.AutomationContext[dg.AssetKey]) -> EntitySubset[dg.AssetKey]:
        before = context.previous_temporal_context
        if before is None:
            return context.get_empty_subset()
        queryer = context.asset_graph_view.get_inner_queryer_for_back_compat()
        updates = queryer.get_asset_materializations_updated_after_cursor(
            asset_key=context.key, after_cursor=before.last_event_id or 0, before_cursor=context.max_storage_id
        )
        own = {run_id for run_id in {update.run_id or "" for update in updates} if self._contains(context, run_id)}
        partitions = {update.partition for update in updates if update.partition and update.run_id not in own}
        return context.candidate_subset.compute_intersection_with_partition_keys(partitions)

    @staticmethod
    def _contains(context: dg.AutomationContext[dg.AssetKey], run_id: str) -> bool:
        """Whether a run contains the asset; one without a selection is its whole job."""
        run = context.asset_graph_view.instance.get_run_by_id(run_id)
        root = context.root_context.key
        return run is not None and (run.asset_selection is None or root in run.asset_selection)


def _after(keys: Iterable[dg.AssetKey]) -> dg.AutomationCondition:
    """True for the partitions of which one of `keys` was materialised since, by a run that left the asset out.

    `AutomationCondition.eager()` is not enough, part by part:
    - It looks at the latest time window only: a backfilled old day would be followed by nothing.
    - Any missing dependency blocks it: a day that only one feed has would never get into the models, which join all.
    - It follows its direct dependencies: of alpaca, kafka, raw each would follow in a run of its own, or ride on
      `will_be_requested`. A feed's look at all stages before them instead and are asked for in the same tick, in one
      run; so are all models, which look at the ledgers.
    - `newly_missing` would ask for each new day at midnight, before the first stage has it.
    - `any_deps_updated` does not see that a run over a range contains what follows (`UpdatedByAnotherRun`).
    What stays of it:
    - `since_last_handled`: an update is followed once, also when that run fails; what was there when the condition
      came into force is not followed.
    - `in_progress`: while a run still works on a stage of the day or on the asset itself, it waits.
    """
    condition = dg.AutomationCondition
    stages = list(keys)
    updated = _any(condition.asset_matches(key, UpdatedByAnotherRun()) for key in stages)
    busy = _any(condition.asset_matches(key, condition.in_progress()) for key in stages)
    return updated.since_last_handled() & ~busy & ~condition.in_progress()


def _any(conditions: Iterable[dg.AutomationCondition]) -> dg.AutomationCondition:
    return reduce(or_, conditions)
