"""Take the pictures of docs/images: `make pictures`, on a home of their own that is gone afterwards.

What they show is the demo's, and then a backfill with one bar that is ten times too high. Look at each before it is
committed.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from dagster import DagsterInstance, RunsFilter
from rich.console import Console
from rich.text import Text

from crypto_platform.connectors.superset import code
from crypto_platform.connectors.superset.browser import (
    CHART,
    HEIGHT,
    WIDTH,
    chromium_on_path,
    logged_in,
    open_dashboard,
)
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.sandbox import supervise
from crypto_platform.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = PROJECT_ROOT / "docs" / "images"
COMMAND = Path(sys.executable).with_name("crypto-platform")
PORTS = ("SANDBOX_ALPACA", "SANDBOX_KAFKA", "SANDBOX_KAFKA_CONTROLLER", "SANDBOX_SPARK", "SANDBOX_SNOWFLAKE")
PORTS = (*PORTS, "DAGSTER_UI", "DAGSTER_CODE", "SUPERSET")
LONGEST_SECONDS = 900
# Days with one bar that is wrong, and the backfill that brings them in.
FIRST, LAST = date(2026, 5, 11), date(2026, 5, 20)
# Dagster's pages, by the picture's name.
PAGES = {
    "dagster-lineage": "/assets/marts/fct_bars_1d?view=lineage&lineageScope=upstream&lineageDepth=5",
    "dagster-asset": "/assets/raw/crypto_bars",
    "dagster-checks": "/assets/raw/crypto_bars?view=checks&checkDetail=price_outliers",
    "dagster-freshness": "/assets/raw/crypto_bars?view=checks&checkDetail=is_fresh",
    "dagster-partition": f"/assets/raw/crypto_bars?view=partitions&partition={LAST}",
}
DBT_PAGES = {
    "dbt-model": "/model/model.crypto_platform.fct_bars_1d",
    "dbt-lineage": "/overview?g_v=1&g_i=%2Bfct_bars_1d_adjusted",
}
DIALOG = "/assets/raw/crypto_bars?view=overview"
PAGE = {"width": 1500, "height": 950}


def run(*arguments: str) -> str:
    """What the command says, in colours."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "110"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=LONGEST_SECONDS,
        check=True,
    )
    return done.stdout


def terminal(name: str, *arguments: str) -> None:
    """A picture of a command and what it says."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=110, file=nowhere)
        console.print(Text.from_ansi(run(*arguments).rstrip()))
        title = " ".join(("crypto-platform", *arguments))
        drawn = console.export_svg(title=title, unique_id=name)
        # Without the fonts that a browser would fetch from elsewhere.
        (IMAGES / f"{name}.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


def dashboards(browser: "Browser", settings: Settings) -> None:
    """Each dashboard in a window as high as it is, and the first page of all in a wide one."""
    charts = {found["slug"]: len(code.charts_of(found)) for found in code.dashboards(code.read())}
    for slug, width, name in (*((slug, WIDTH, slug) for slug in charts), ("market", 1920, "market-1920")):
        with logged_in(browser, settings, width) as page:
            opened = open_dashboard(page, settings, slug, charts[slug])
            assert not opened.failed, opened.failed
            boxes = [chart.bounding_box() for chart in page.query_selector_all(CHART)]
            bottom = max(box["y"] + box["height"] for box in boxes if box)
            page.wait_for_timeout(2000)
            clip = {"x": 0, "y": 0, "width": width, "height": min(bottom + 24, HEIGHT)}
            page.screenshot(path=IMAGES / f"dashboard-{name}.png", clip=clip)


def take(page: "Page", name: str, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / f"{name}.png")


def dagster(browser: "Browser", settings: Settings, address: str) -> None:
    """Dagster's pages of the backfill, and the dialog that starts one."""
    page = browser.new_page(viewport=PAGE)
    page.set_default_timeout(120_000)
    for name, path in PAGES.items():
        take(page, name, address + path)
    with DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        (newest,) = instance.get_runs(RunsFilter(job_name="crypto"), limit=1)
    take(page, "dagster-run", f"{address}/runs/{newest.run_id}")
    page.goto(address + DIALOG)
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Show all partitions").click()
    days = page.get_by_role("dialog").get_by_role("textbox").first
    days.fill(f"[{FIRST}...{LAST}]")
    days.press("Enter")
    page.wait_for_timeout(2000)
    page.screenshot(path=IMAGES / "dagster-backfill.png")


def dbt(browser: "Browser") -> None:
    """dbt's own site: the lineage of what the dashboards read, and the page of a model."""
    with subprocess.Popen([COMMAND, "dbt-docs", "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            for name, path in DBT_PAGES.items():
                # A page of its own each: the site does not follow a change of its address.
                take(browser.new_page(viewport=PAGE), name, f"{address}/#!{path}")
        finally:
            server.terminate()


def wrong_bar(folder: Path) -> None:
    """The recording of BTC with the bar of the last day's noon ten times too high."""
    bars = pd.read_parquet(PROJECT_ROOT / "recordings" / "BTC-USD_1Min.parquet")
    at = pd.to_datetime(bars["timestamp"], utc=True) == pd.Timestamp(f"{LAST} 12:00", tz="UTC")
    assert at.sum() == 1
    bars.loc[at, ["high", "close"]] = (bars.loc[at, ["high", "close"]] * 10).round(2)
    bars.to_parquet(folder / "BTC-USD_1Min.parquet")


@contextmanager
def started(settings: Settings) -> Iterator[Settings]:
    """The systems, Dagster and Superset, up; the settings to reach them."""
    with subprocess.Popen([COMMAND, "up", "--dashboard"], stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout
        try:
            for line in up.stdout:
                if line.startswith("Dagster: "):
                    break
            effective = supervise.running(settings)
            assert effective, "the systems ended while they started"
            yield effective
        finally:
            up.terminate()


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as recordings:
        os.environ["JVM_JARS"] = str(Settings().jars)
        os.environ |= {"CRYPTO_PLATFORM_HOME": home} | {f"{name}_PORT": "0" for name in PORTS}
        settings = Settings()
        began = time.monotonic()

        def say(what: str) -> None:
            print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

        terminal("cli-help", "--help")
        say("the demo")
        run("demo")
        say("Dagster and Superset")
        with started(settings) as effective, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_on_path(), args=["--no-sandbox"])
            say("dashboards")
            dashboards(browser, effective)
            say("a bar that is wrong")
            wrong_bar(Path(recordings))
            days = ("--from", str(FIRST), "--to", str(LAST + timedelta(days=1)))
            run("materialize", "--feed", "crypto", *days, "--recordings", recordings)
            say("Dagster's pages")
            dagster(browser, effective, f"http://127.0.0.1:{effective.dagster_ui_port}")
            say("alerts")
            terminal("alerts-list", "alerts", "list")
            say("dbt's pages")
            dbt(browser)
            browser.close()
    say("done")


if __name__ == "__main__":
    main()
