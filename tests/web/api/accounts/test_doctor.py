"""/v1/doctor and the page: what the latest reading of the Graph API found; Meta is not asked by either."""

from datetime import timedelta

import pytest

from tests.support.fake_graph import TOKEN
from webhook_app.rules.accounts.doctor_check import Checked
from webhook_app.store.accounts import doctor

BROKEN = Checked("number", "1060", "Acme <b>+49</b>").broken("number", "It is BANNED.", "Appeal.", 131031)
FINE = Checked("token").ok("token", "The access token is valid.")


@pytest.fixture
def stored(engine, now):
    def save(*checks, minutes=0):
        with engine.begin() as connection:
            doctor.save(connection, checks, now - timedelta(minutes=minutes))

    return save


def test_before_the_first_reading_nothing_is_known(api):
    answer = api.get("/v1/doctor", role="viewer").json
    assert (answer["status"], answer["read_at"], answer["checks"]) == ("unknown", None, [])
    assert answer["is_configured"] is False


def test_the_worst_comes_first_with_its_remedy_and_its_start(api, stored, now):
    stored(FINE, BROKEN, minutes=90)
    stored(FINE, BROKEN)
    answer = api.get("/v1/doctor", role="viewer").json
    assert answer["status"] == "broken"
    first, second = answer["checks"]
    assert (first["kind"], first["status"], first["fix"], first["code"]) == (
        "number",
        "broken",
        "Appeal.",
        131031,
    )
    assert first["since"] < first["checked_at"] == answer["read_at"]
    assert second["status"] == "ok"


def test_one_status_can_be_asked_for(api, stored):
    stored(FINE, BROKEN)
    answer = api.get("/v1/doctor?status=ok", role="viewer").json
    assert [check["kind"] for check in answer["checks"]] == ["token"]
    assert answer["status"] == "broken"
    assert api.get("/v1/doctor?status=odd", role="viewer").status_code == 400


def test_a_sender_cannot_read_it(api):
    assert api.get("/v1/doctor", role="sender").status_code == 403


def test_the_page_shows_faults_before_what_is_ok(viewer, stored):
    assert "META_ACCESS_TOKEN is not set" in viewer.get("/doctor").text
    stored(FINE, BROKEN)
    page = viewer.get("/doctor").text
    assert page.index("It is BANNED.") < page.index("The access token is valid.")
    assert "Acme &lt;b&gt;" in page
    assert 'href="/codes/131031"' in page


def test_the_token_is_in_no_answer_and_on_no_page(api, viewer, stored):
    stored(FINE, BROKEN)
    for text in (
        api.get("/v1/doctor", role="viewer").text,
        viewer.get("/doctor").text,
        viewer.get("/system").text,
    ):
        assert TOKEN not in text
