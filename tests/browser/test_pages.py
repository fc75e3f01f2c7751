"""Every page in a browser: nothing on the console, nothing from elsewhere, fit for a phone, and accessible."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import ADMIN_KEY, NARROW, WIDE, enter
from tests.browser.crawling import one_of_each_kind
from webhook_app.web.pages.navigation import NAVIGATION

SERIOUS = {"serious", "critical"}
REPEATED_IDS = """() => [...document.querySelectorAll("[id]")].map(each => each.id)
  .filter((id, at, all) => all.indexOf(id) !== at)"""
LEAVE_ONE_OF_ALIKE = """() => {
  const read = new Set(["class", "style", "role", "type", "scope", "colspan", "tabindex", "aria-hidden"])
  const shape = each => each.nodeType === Node.TEXT_NODE ? (each.data.trim() ? "text" : "") :
    each.nodeType !== Node.ELEMENT_NODE ? "" :
    `<${each.tagName} ${[...each.attributes].map(a => a.name + (read.has(a.name) ? a.value : !!a.value))}>` +
    [...each.childNodes].map(shape).join("") + "</>"
  const place = each => each ? place(each.parentElement) + `${each.tagName} ${each.className}>` : ""
  const everywhere = new Set()
  for (const parent of [...document.querySelectorAll("tbody, ul, ol, select, main, section, details, g")].reverse()) {
    const seen = new Set()
    for (const each of [...parent.children]) {
      if (!each.matches("tr, li, option, section, details, g, path")) continue
      const found = shape(each), there = place(parent) + found
      if (seen.has(found) || (seen.size && everywhere.has(there))) each.remove()
      seen.add(found)
      everywhere.add(there)
    }
  }
}"""
"""Removes rows, items and sections that differ from one in such a place in their words alone: axe judges them alike.

From the inside out, so that sections are alike that differ in how many rows of a kind they have.
"""


def faults_of_accessibility(page):
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)")
    return [
        (fault["id"], fault["help"], [node["target"] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in SERIOUS
    ]


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.fixture(scope="module")
def kinds_of_pages(browser, business):
    with browser.new_context(base_url=business) as context:
        page = context.new_page()
        page.goto("/login")
        enter(page, ADMIN_KEY)
        return one_of_each_kind(page)


def test_every_kind_of_page_is_found(kinds_of_pages):
    assert set(kinds_of_pages.values()) >= {each.path for each in NAVIGATION}
    behind = {
        "alerts-one",
        "incidents-one",
        "codes-one",
        "contacts-by-contact",
        "failures-one",
        "rules-backtests-one",
        "rules-one",
        "suppressions-import",
    }
    assert behind <= set(kinds_of_pages)


def test_findings_and_the_findings_of_a_backtest_are_among_what_the_pages_show(
    business, sign_in, kinds_of_pages
):
    page = sign_in(business)
    for kind, section in (("findings", "open"), ("rules-backtests-one", "findings")):
        page.goto(kinds_of_pages[kind])
        assert "seasonal_offer" in page.inner_text(f"section[aria-labelledby={section}] table")


def test_every_page_is_accessible_and_fits_the_screen(business, sign_in, kinds_of_pages):
    page = sign_in(business)
    found = {}
    for path in kinds_of_pages.values():
        page.goto(path)
        if repeated := page.evaluate(REPEATED_IDS):
            found[path, "id"] = repeated
        for size in (NARROW, WIDE):
            page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
            if is_too_wide(page):
                found[path, size] = "too wide"
        page.evaluate(LEAVE_ONE_OF_ALIKE)
        for size, theme in ((WIDE, "light"), (NARROW, "dark")):
            page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
            page.emulate_media(color_scheme=theme)
            if faults := faults_of_accessibility(page):
                found[path, theme] = faults
    assert found == {}


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_first_steps_are_accessible_too(empty, sign_in, open_browser, size):
    page = open_browser(empty, size=size)
    page.goto("/login")
    assert faults_of_accessibility(page) == []
    page = sign_in(empty, size=size)
    assert "Waiting for the first webhook" in page.inner_text("main")
    assert faults_of_accessibility(page) == []
    assert not is_too_wide(page)


def test_the_chart_is_drawn_without_a_word_on_the_console(business, sign_in):
    page = sign_in(business)
    page.wait_for_selector("#chart .main-svg .scatterlayer .trace")
