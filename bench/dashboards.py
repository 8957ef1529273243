"""The dashboards over a year: each chart's answer, and the Market page until all of it is drawn."""

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.systems import BenchError
from crypto_platform.connectors.superset import browser, charts, code, server
from crypto_platform.connectors.superset.client import connect
from crypto_platform.sandbox import supervise
from crypto_platform.settings import Settings

TARGET_CHART_SECONDS, TARGET_PAGE_SECONDS = 1.0, 5.0
PAGE = "market"


def dashboards(settings: Settings, symbols: int, days: int, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Over the year's bars, medians of the runs after one that warms Superset and the browser up."""
    tell("dashboards: setting up Superset")
    server.prepare(settings)
    files = code.read()
    with supervise.sandbox(settings, {"superset"}) as effective:
        seconds: dict[str, list[float]] = defaultdict(list)
        with connect(effective) as client:
            code.put(client, files)
            for number in range(runs + 1):
                tell(f"dashboards: every chart, {number} of {runs}")
                for answer in charts.ask(client, files):
                    if answer.error:
                        raise BenchError(f"{answer.chart}: {answer.error}")
                    if number:
                        seconds[answer.chart].append(answer.seconds)
        tell("dashboards: the Market page")
        pages = _pages(effective, files, runs)
    return {
        "symbols": symbols,
        "days": days,
        "runs": runs,
        "charts": {chart: median(taken) for chart, taken in seconds.items()},
        "page": median(pages),
        "target_chart_seconds": TARGET_CHART_SECONDS,
        "target_page_seconds": TARGET_PAGE_SECONDS,
    }


def _pages(settings: Settings, files: code.Files, runs: int) -> list[float]:
    """Seconds from asking for the page until its last chart is drawn."""
    from playwright.sync_api import sync_playwright

    (dashboard,) = (found for found in code.dashboards(files) if found["slug"] == PAGE)
    executable = browser.chromium_on_path()
    if executable is None:
        raise BenchError("there is no Chromium on the PATH: `make browser` installs it")
    taken = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        with browser.logged_in(chromium, settings) as page:
            for _ in range(runs + 1):
                began = time.monotonic()
                opened = browser.open_dashboard(page, settings, PAGE, len(code.charts_of(dashboard)))
                taken.append(time.monotonic() - began)
                if opened.failed:
                    raise BenchError(str(opened.failed))
        chromium.close()
    return taken[1:]
