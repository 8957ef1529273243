"""dbt over a long history: the first build of it, a day's increment, and a build that has nothing to do."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.long_range import BARS_A_DAY, FIRST_DAY, long_range
from bench.systems import finish, script, start
from crypto_platform.settings import Settings
from crypto_platform.transform.project import PROJECT_DIR, new_run_folder
from crypto_platform.transform.window import window

TARGET_FIRST_SECONDS, TARGET_INCREMENT = 180.0, 1.4
# As a person types it, and as the platform starts it.
PLAIN, OURS = "dbt", "crypto-platform-dbt"


def models(
    settings: Settings, symbols: int, days: int, runs: int, first: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Seconds from launching dbt to its end over the year's bars, the `first` of which was the year's run.

    Medians of as many days and empty builds as there are runs.
    """
    empty: dict[str, list[float]] = {PLAIN: [], OURS: []}
    increments = []
    for number in range(runs):
        tell(f"models: a day's increment and empty builds, {number + 1} of {runs}")
        day = FIRST_DAY + timedelta(days=days + number)
        long_range(settings, symbols, 1, day, with_dbt=False)
        increments.append(build(settings, day))
        for command, seconds in empty.items():
            seconds.append(build(settings, command=command, selected="tag:nothing_has_this"))
    day_again = median(increments)
    return {
        "symbols": symbols,
        "bars": symbols * days * BARS_A_DAY,
        "first": first,
        "increment": day_again,
        "empty": {command: median(seconds) for command, seconds in empty.items()},
        "increment_to_empty": day_again / median(empty[PLAIN]),
        "target_first": TARGET_FIRST_SECONDS,
        "target_increment": TARGET_INCREMENT,
    }


def build(settings: Settings, day: date | None = None, command: str = OURS, selected: str | None = None) -> float:
    """Build and test as a run does: what is selected or all, over one day or what was loaded since."""
    output = Path(settings.crypto_platform_home) / "dbt-build.log"
    folders = ["--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR]
    what = ["--exclude-resource-type", "unit_test", *(["--select", selected] if selected else [])]
    target = ["--target-path", new_run_folder(settings, f"bench-{time.time_ns()}")]
    arguments = [script(command), "build", *map(str, (*what, *folders, *target))]
    midnight = datetime.combine(day, datetime.min.time(), UTC) if day else None
    with window(midnight, midnight + timedelta(days=1)) if midnight else nullcontext():
        began = time.monotonic()
        finish(start(settings, arguments, output), output)
        return time.monotonic() - began
