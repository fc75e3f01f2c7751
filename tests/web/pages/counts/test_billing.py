"""The page of billable messages."""

import re

import pytest

from tests.support.factories import body, status
from tests.web.pages.conftest import HOSTILE

PAID = {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"}
FREE = {"billable": False, "pricing_model": "PMP", "category": "service", "type": "free_customer_service"}


def rows(page):
    """The figures of each row, by its heading."""
    found = {}
    for row in re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page, re.DOTALL):
        heading, *cells = re.sub(r"<[^>]*>", " ", row.replace("<td", "\x00<td")).split("\x00")
        found[heading.strip()] = [cell.split()[0] for cell in cells]
    return found


@pytest.fixture
def sent(deliver, now):
    def message(name, template, price, *kinds):
        about = {"pricing": price, "biz_opaque_callback_data": f"template={template}"}
        codes = {"failed": 131026}
        deliver(body(*(status(name, kind, now, code=codes.get(kind), **about) for kind in kinds)))

    message("wamid.1", "offer", PAID, "sent", "delivered")
    message("wamid.2", "offer", PAID, "sent", "delivered", "read")
    message("wamid.3", HOSTILE, PAID, "sent", "failed")
    message("wamid.4", "", FREE, "sent", "read")
    message("wamid.5", "", {"category": "utility"}, "sent")


def test_each_template_has_its_billable_messages_and_what_became_of_them(admin_browser, sent):
    page = admin_browser.see("/billing")
    found = rows(page)
    assert found["All"] == ["3", "2", "1", "1", "1", "1"]
    assert found["offer"] == ["2", "2", "1", "0", "0", "0"]
    assert found["none"] == ["0", "0", "0", "0", "1", "1"]
    assert HOSTILE not in page
    assert list(found)[:2] == ["All", "offer"]


@pytest.mark.parametrize(
    ("by", "group"),
    [("category", "marketing"), ("country", "US"), ("pricing_type", "regular"), ("campaign", "none")],
)
def test_other_groups(admin_browser, sent, by, group):
    assert rows(admin_browser.see("/billing", by=by, days="30"))[group][0] == "3"


def test_without_messages_and_with_a_choice_that_does_not_exist(admin_browser):
    assert "No message was sent in this time" in admin_browser.see("/billing")
    admin_browser.see("/billing", status=400, by="color")
    admin_browser.see("/billing", status=400, days="8")
