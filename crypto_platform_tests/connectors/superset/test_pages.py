"""The dashboards as they are seen, in Chromium."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests

from crypto_platform.connectors.superset import browser as pages
from crypto_platform.connectors.superset import code
from crypto_platform.connectors.superset.client import connect, url
from crypto_platform.connectors.superset.home import SupersetError, login
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# With the set-up of Superset and of the marts.
pytestmark = pytest.mark.timeout(900)
DASHBOARDS = {dashboard["slug"]: dashboard for dashboard in code.dashboards(code.read())}
CAPTION = ".candles .caption"


@pytest.fixture(scope="module")
def page(browser: "Browser", superset: Settings) -> "Iterator[Page]":
    with pages.logged_in(browser, superset) as logged_in:
        yield logged_in


def open_dashboard(page: "Page", settings: Settings, slug: str) -> pages.Opened:
    return pages.open_dashboard(page, settings, slug, len(code.charts_of(DASHBOARDS[slug])))


@pytest.mark.parametrize("slug", DASHBOARDS)
def test_every_chart_of_a_dashboard_is_drawn(page: "Page", superset: Settings, slug: str) -> None:
    opened = open_dashboard(page, superset, slug)
    assert opened.failed == {}
    assert opened.charts == len(code.charts_of(DASHBOARDS[slug]))
    assert page.get_by_text("not live prices").count() == 1


def candles(page: "Page") -> dict[str, dict[str, str]]:
    """Time → name → number, of every candle's tooltip."""
    page.wait_for_selector(".candle", state="attached")
    found = {}
    for said in page.eval_on_selector_all(".candle title", "titles => titles.map(title => title.textContent)"):
        time, *lines = said.split("\n")
        found[time] = dict(line.split(" ", 1) for line in lines)
    return found


def test_the_candles_numbers_are_those_of_the_mart(page: "Page", superset: Settings, recorded: Warehouse) -> None:
    open_dashboard(page, superset, "market")
    drawn = candles(page)
    bars = recorded.query(
        "select bar_start, open, high, low, close from MARTS.fct_bars_1h "
        "where symbol = 'BTC/USD' order by bar_start desc limit 200"
    )
    expected = {
        f"{bar.bar_start:%Y-%m-%d %H:%M} UTC": {n: f"{getattr(bar, n):,.2f}" for n in ("open", "high", "low", "close")}
        for bar in bars.itertuples()
    }
    prices = {time: {n: told[n] for n in ("open", "high", "low", "close")} for time, told in drawn.items()}
    assert prices == expected
    # Drawn at these values: wicks from low to high, in the panel's own units.
    wicks = page.eval_on_selector_all(
        ".candle .wick", "lines => lines.map(l => [l.getAttribute('y1'), l.getAttribute('y2')])"
    )
    assert [(float(low), float(high)) for low, high in wicks] == [
        (row.low, row.high) for row in bars[::-1].itertuples()
    ]
    assert len(page.query_selector_all(".drawing polyline")) == 7


def choose(page: "Page", name: str, value: str) -> None:
    """Pick a value in a filter's list and apply it."""
    page.locator(f".ant-select[data-test='NATIVE_FILTER-market-{name}']").click()
    page.locator(f".ant-select-item-option[title='{value}']").click()
    page.locator("[data-test='filter-bar__apply-button']").click()


def test_a_filter_changes_what_is_shown(page: "Page", superset: Settings) -> None:
    open_dashboard(page, superset, "market")
    assert "BTC/USD" in page.inner_text(CAPTION)
    choose(page, "symbol", "SPY")
    page.wait_for_function(f"document.querySelector('{CAPTION}')?.innerText.startsWith('SPY')")
    assert all(float(told["close"]) < 1000 for told in candles(page).values())


def test_a_new_bar_appears_without_a_reload(page: "Page", superset: Settings, recorded: Warehouse) -> None:
    open_dashboard(page, superset, "market")
    page.evaluate("window.notReloaded = true")
    newest = max(candles(page))
    recorded.query(
        "insert into MARTS.fct_bars_1h "
        "select * replace (dateadd('hour', 1, bar_start) as bar_start, 91234.56 as close) "
        "from MARTS.fct_bars_1h where symbol = 'BTC/USD' qualify row_number() over (order by bar_start desc) = 1"
    )
    try:
        page.wait_for_function(
            "[...document.querySelectorAll('.candle title')].some(t => t.textContent.includes('91,234.56'))"
        )
        assert max(candles(page)) > newest
        assert page.evaluate("window.notReloaded")
    finally:
        recorded.query("delete from MARTS.fct_bars_1h where close = 91234.56")


def test_a_wrong_password_is_refused(browser: "Browser", superset: Settings) -> None:
    visitor = browser.new_page()
    pages.sign_in(visitor, superset, login(superset).username, "wrong")
    visitor.get_by_text("Invalid username or password").first.wait_for()
    assert "/login" in visitor.url
    visitor.close()
    wrong = superset.model_copy(update={"superset_username": "nobody"})
    with pytest.raises(SupersetError, match="refuses the login of nobody"), connect(wrong):
        pass


def test_nobody_sees_anything_without_a_login(browser: "Browser", superset: Settings) -> None:
    visitor = browser.new_page()
    visitor.goto(f"{url(superset)}/superset/dashboard/market/")
    assert "/login" in visitor.url
    visitor.close()
    for path in ("chart/", "dashboard/market", "dataset/", "database/", "assets/export/"):
        answer = requests.get(f"{url(superset)}/api/v1/{path}", timeout=30)
        assert answer.status_code in (401, 404) or answer.json().get("count") == 0, path


def test_a_page_may_load_from_its_own_server_only(superset: Settings) -> None:
    policy = requests.get(f"{url(superset)}/login/", timeout=30).headers["Content-Security-Policy"]
    assert not re.search(r"https?://|\*", policy)


def test_a_change_without_the_csrf_token_is_refused(superset: Settings) -> None:
    with connect(superset) as client:
        del client._session.headers["X-CSRFToken"]
        with pytest.raises(SupersetError, match="CSRF"):
            client.post("dashboard/", json={"dashboard_title": "forged"})
