"""The work of an operator from the incident to the contact: acknowledge, find, lift, export, read the audit log."""

import csv
import io

from tests.browser.business import UNREACHABLE
from tests.browser.conftest import enter


def test_from_the_incident_to_the_contact(business, open_browser):
    page = open_browser(business)
    page.goto("/")
    enter(page, "an operator's key for tests")

    # The overview shows the incident first.
    page.get_by_text("open incident").first.wait_for()
    page.locator("#part-state").get_by_role("link", name="seasonal_offer").first.click()
    page.wait_for_url("**/incidents/*")

    # Acknowledge the incident.
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("status").get_by_text("Acknowledged").first.wait_for()
    assert page.get_by_role("button", name="Acknowledge").count() == 0

    # Find the contact whose messages keep failing.
    page.get_by_label("Pages").get_by_role("link", name="Contacts").click()
    page.get_by_label("Phone number in any format").fill("+1 (808) 555-0142")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("heading", level=1).inner_text() == UNREACHABLE
    main = page.locator("main")
    assert "131026" in main.inner_text()
    assert "Do not send messages" in main.inner_text()

    # Lift their suppression.
    page.get_by_role("button", name="Lift", exact=True).click()
    page.get_by_text("This contact is not suppressed").wait_for()

    # Download the failures.
    page.get_by_label("Pages").get_by_role("link", name="Failures").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert {"131026", "132015"} <= {row["code"] for row in rows}

    # The dark theme applies at once and on the next page. The audit log has every action.
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_label("Pages").get_by_role("link", name="System").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark
    did = page.get_by_role("region", name="Audit log").inner_text()
    assert "acknowledge incident" in did
    assert "lift contact suppression" in did
    assert UNREACHABLE in did
