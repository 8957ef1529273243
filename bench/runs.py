"""What Dagster's instance and dbt recorded of a run: the seconds of its stages and hops."""

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.settings import Settings
from crypto_platform.transform.project import run_folder


@dataclass(frozen=True)
class Recorded:
    """One run: bars, seconds of each step, seconds of each hop of ours, rows added to the ledger."""

    bars: int
    loaded: int
    steps: dict[str, float]
    hops: dict[str, float]

    @property
    def own_seconds(self) -> float:
        return sum(self.hops.values())


def last_run(settings: Settings) -> Recorded:
    """The newest run of the instance."""
    import dagster as dg

    assert settings.dagster_home
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        run_id = instance.get_runs(limit=1)[0].run_id
        metadata: dict[str, dict[str, Any]] = {}
        for record in instance.get_records_for_run(
            run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=100_000
        ).records:
            found = record.event_log_entry.asset_materialization
            assert found
            # Of bars alone, which the steps of corporate actions may come before.
            is_of_bars = CORPORATE_ACTIONS.name not in found.asset_key.path[-1]
            if is_of_bars and found.asset_key.path[0] not in metadata:
                metadata[found.asset_key.path[0]] = {k: v.value for k, v in found.metadata.items()}
        steps = {s.step_key: (s.end_time or 0) - (s.start_time or 0) for s in instance.get_run_step_stats(run_id)}
    load = metadata["raw"]
    hops = {"extract": metadata["alpaca"]["seconds"], "publish": metadata["kafka"]["seconds"]}
    hops |= {row.data["hop"]: row.data["seconds"] for row in load["duration_by_step"].records}
    if "models" in steps:
        hops["dbt SQL"] = dbt_seconds(settings, run_id)
    return Recorded(metadata["alpaca"]["bars"], load["loaded"], steps, hops)


def dbt_seconds(settings: Settings, run_id: str) -> float:
    """Seconds in which dbt was executing at least one node of the run."""
    results = run_folder(settings, run_id) / "run_results.json"
    return covered(
        [
            (datetime.fromisoformat(timing["started_at"]), datetime.fromisoformat(timing["completed_at"]))
            for node in json.loads(results.read_text())["results"]
            for timing in node["timing"]
            if timing["name"] == "execute"
        ]
    )


def covered(spans: list[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one of the spans."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    open_spans, seconds = 0, 0.0
    for (moment, step), (following, _) in pairwise(edges):
        open_spans += step
        if open_spans:
            seconds += (following - moment).total_seconds()
    return seconds
