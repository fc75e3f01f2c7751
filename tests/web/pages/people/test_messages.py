"""One message's life."""

import re
from datetime import timedelta

import pytest

from tests.support.factories import body, status
from tests.web.pages.conftest import HOSTILE


@pytest.fixture
def both(deliver, now):
    """Failed on one device, delivered on another."""
    deliver(
        body(
            status("wamid.A/B+=", "sent", now - timedelta(minutes=2), biz_opaque_callback_data=HOSTILE),
            status("wamid.A/B+=", "failed", now - timedelta(minutes=1), code=131026, details=HOSTILE),
            status("wamid.A/B+=", "delivered", now),
        )
    )


def test_its_events_are_in_order_with_the_outcome_of_all_of_them(viewer_browser, both):
    page = viewer_browser.see("/messages/wamid.A/B+=")
    assert "failed and delivered" in page
    whats = re.findall(r'data-label="What"><span>(\w+)', page)
    assert whats == ["sent", "failed", "delivered"]
    assert "+12025550117" in page
    assert "Send again?" in page


def test_a_refused_call_is_listed_once(viewer_browser, api, now):
    error = {"code": 190, "error_subcode": 463, "message": "expired", "fbtrace_id": "Trace1"}
    report = {"contact": "+12025550117", "message_id": "wamid.S", "sent_at": now.isoformat(), "error": error}
    assert api.post("/v1/sends", json={"sends": [report]}).status_code == 200
    page = viewer_browser.see("/messages/wamid.S")
    assert re.findall(r'data-label="What"><span>([\w ]+)', page) == ["call refused "]
    assert "Trace1" in page
    assert 'href="/codes/190?subcode=463"' in page


def test_hostile_text_is_only_text(viewer_browser, both):
    page = viewer_browser.see("/messages/wamid.A/B+=")
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("path", ["/messages/wamid.none", "/messages/" + "x" * 1001, "/messages/a%00b"])
def test_an_unknown_one_is_not_found(viewer_browser, path):
    assert "essage" in viewer_browser.see(path, status=404)
