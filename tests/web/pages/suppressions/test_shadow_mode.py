"""In shadow mode the pages say that suppressions by rules block nobody, and mark them."""

import pytest

from tests.support.suppressions import store_suppression
from tests.web.conftest import ADMIN_KEY, sign_in
from tests.web.pages.conftest import Browser

GONE, STOPPED = "12025550117", "12025550118"


@pytest.fixture
def browse(make_app, engine, now):
    """Returns a signed-in browser of a service with this mode and two suppressions."""
    store_suppression(engine, now, contact=GONE, reason="unreachable", code=131026, review=True)
    store_suppression(engine, now, contact=STOPPED, reason="opted_out")

    def open_browser(mode):
        client = make_app(suppress=mode).test_client()
        assert sign_in(client, ADMIN_KEY).status_code == 303
        return Browser(client)

    return open_browser


@pytest.mark.parametrize("path", ["/suppressions", "/suppressions/review", "/suppressions/changes"])
def test_the_lists_say_that_it_is_shadow_mode(browse, path):
    assert "Shadow mode." in browse("shadow").see(path)
    assert "Shadow mode." not in browse("on").see(path)


def test_a_list_marks_what_only_would_be_suppressed(browse):
    assert browse("shadow").see("/suppressions").count("would be suppressed") == 1
    assert "would be suppressed" not in browse("on").see("/suppressions")


def test_the_page_of_a_contact_says_whether_they_may_be_messaged(browse):
    shadow, on = browse("shadow"), browse("on")
    assert "This contact is not suppressed" in shadow.see("/contacts", contact=f"+{GONE}")
    assert "would be suppressed" in shadow.see("/contacts", contact=f"+{GONE}")
    assert "Do not send messages" in on.see("/contacts", contact=f"+{GONE}")
    for browser in (shadow, on):
        assert "Do not send messages" in browser.see("/contacts", contact=f"+{STOPPED}")


def test_the_overview_counts_what_is_recorded(browse, traffic, now):
    traffic.sent(1, now)
    assert "Recorded (shadow mode)" in browse("shadow").see("/")
    assert "Recorded (shadow mode)" not in browse("on").see("/")
