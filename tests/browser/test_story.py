"""What somebody on call does, in one go: sees the incident, takes it, and helps the one who was wrongly stopped."""

import csv
import io

from tests.browser.business import UNREACHABLE
from tests.browser.conftest import enter


def test_from_the_incident_to_the_contact(business, open_browser):
    page = open_browser(business)
    page.goto("/")
    enter(page, "an operator's key for tests")

    # The incident is the first thing to be seen.
    page.get_by_text("open incident").first.wait_for()
    page.locator("#part-state").get_by_role("link", name="seasonal_offer").first.click()
    page.wait_for_url("**/incidents/*")

    # It is taken in hand, and the page says so.
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("status").get_by_text("Acknowledged").first.wait_for()
    assert page.get_by_role("button", name="Acknowledge").count() == 0

    # The one who keeps failing is found by the number as people write it.
    page.get_by_label("Pages").get_by_role("link", name="Contacts").click()
    page.get_by_label("Phone number as you have it").fill("+1 (808) 555-0142")
    page.get_by_role("button", name="Look up").click()
    assert page.get_by_role("heading", level=1).inner_text() == UNREACHABLE
    main = page.locator("main")
    assert "131026" in main.inner_text()
    assert "No message is to be sent" in main.inner_text()

    # Their suppression is lifted.
    page.get_by_role("button", name="Lift", exact=True).click()
    page.get_by_text("Nothing stands against this contact").wait_for()

    # The failures are saved as a file.
    page.get_by_label("Pages").get_by_role("link", name="Failures").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert {"131026", "132015"} <= {row["code"] for row in rows}

    # Dark is dark at once, stays so on the next page, and all of it stands in the audit.
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_label("Pages").get_by_role("link", name="System").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark
    did = page.get_by_role("region", name="Who did what").inner_text()
    assert "acknowledge incident" in did
    assert "lift contact suppression" in did
    assert UNREACHABLE in did
