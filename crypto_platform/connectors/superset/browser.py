"""The dashboards as they are seen: opened in a browser, every chart waited for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto_platform.connectors.superset.client import url
from crypto_platform.connectors.superset.home import login
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MILLISECONDS = 120_000
# Charts are drawn when they come into sight: a window as high as the longest page shows all of them.
WIDTH, HEIGHT = 1280, 4000
CHART = "[data-test-chart-id]"
_SETTLED = """charts => {
    const found = [...document.querySelectorAll('[data-test-chart-id]')];
    return found.length >= charts && found.every(chart =>
        !chart.querySelector('[data-test="loading-indicator"]')
        && chart.querySelector('[data-test="slice-container"], .ant-alert'));
}"""


def chromium_on_path() -> str | None:
    """The machine's Chromium; None without one, for which there is `make browser`."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Opened:
    """A dashboard that was opened: how many charts it shows, and what those that failed say, by title."""

    dashboard: str
    charts: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@contextmanager
def logged_in(browser: "Browser", settings: Settings, width: int = WIDTH, height: int = HEIGHT) -> Iterator["Page"]:
    """A page of Superset whose administrator has logged in, through the form as anybody does."""
    who, page = login(settings), browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(MILLISECONDS)
    try:
        sign_in(page, settings, who.username, who.password.get_secret_value())
        page.wait_for_url(lambda address: "/login" not in address)
        yield page
    finally:
        page.close()


def sign_in(page: "Page", settings: Settings, username: str, password: str) -> None:
    """Fill in the form of the login and send it."""
    page.goto(f"{url(settings)}/login/")
    page.fill("#username", username)
    page.fill("#password", password)
    page.press("#password", "Enter")


def open_dashboard(page: "Page", settings: Settings, slug: str, charts: int) -> Opened:
    """Open a dashboard of so many charts and wait until each is drawn or has failed.

    Raises:
        playwright.sync_api.TimeoutError: some chart is neither after two minutes.
    """
    page.goto(f"{url(settings)}/superset/dashboard/{slug}/")
    wait_for_charts(page, charts)
    opened = Opened(slug)
    for chart in page.query_selector_all(CHART):
        opened.charts += 1
        if alert := chart.query_selector(".ant-alert"):
            title = chart.query_selector("[data-test='editable-title']")
            opened.failed[title.inner_text() if title else "?"] = alert.inner_text()
    return opened


def wait_for_charts(page: "Page", charts: int) -> None:
    """Return when so many charts are drawn or have failed."""
    page.wait_for_function(_SETTLED, arg=charts, polling=100)
