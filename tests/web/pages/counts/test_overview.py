"""The pages as somebody signed in sees them, and what they refuse."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.support.factories import NUMBER, body, document, status
from tests.web.conftest import ADMIN_KEY, sign_in, token_of
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file import parse_rules
from webhook_app.store import schema
from webhook_app.store.incidents import alerts
from webhook_app.store.operations import scheduler_state
from webhook_app.store.receiving.webhook_activity import last_received_at

RULES = """
[[rule]]
name = "failures"
kind = "rate"
threshold = 0.02
min_attempts = 10
min_failures = 5
for_evaluations = 1
channels = ["log"]
"""
HOSTILE = '<script>alert("template")</script>'
PAGES = (
    "/",
    "/alerts",
    "/?hours=24",
    "/failures",
    "/codes",
    "/codes/131026",
    "/contacts",
    "/suppressions",
    "/suppressions/review",
    "/suppressions/import",
    "/suppressions/changes",
)


@pytest.fixture
def fired(deliver, engine, now):
    """The id of a firing alert about a template with a hostile name."""
    named = {"biz_opaque_callback_data": json.dumps({"template": HOSTILE})}
    sent = [status(f"wamid.{n}", "sent", now, **named) for n in range(40)]
    failed = [status(f"wamid.{n}", "failed", now, code=132015, **named) for n in range(20)]
    deliver(body(*sent, *failed))
    evaluate(engine, parse_rules(RULES), now)
    with engine.connect() as connection:
        return alerts.open_alerts(connection)[0].id


@pytest.fixture
def alert(engine, fired):
    def read():
        with engine.connect() as connection:
            return alerts.get_alert(connection, fired)

    return read


class TestOverview:
    def test_before_the_first_webhook_it_says_how_to_connect_and_keeps_the_token_to_itself(self, make_app):
        client = make_app(
            public_url="https://hooks.example", meta_verify_token="a token never shown"
        ).test_client()
        sign_in(client, ADMIN_KEY)
        page = client.get("/").text
        assert "Waiting for the first webhook" in page
        assert "https://hooks.example/webhook" in page
        assert "META_VERIFY_TOKEN" in page
        assert "a token never shown" not in page

    def test_deliveries_with_another_secret_are_explained_even_then(self, admin, engine, now):
        refused = {"minute": now.replace(second=0), "kind": "mismatch", "count": 3}
        with engine.begin() as connection:
            connection.execute(insert(schema.rejections).values(refused))
        page = admin.get("/").text
        assert "3 deliveries refused within an hour" in page
        assert "compare META_APP_SECRET" in page

    def test_a_firing_alert_is_the_first_thing_it_says(self, admin, fired):
        page = admin.get("/").text
        assert "1 alert firing" in page
        assert f'href="/alerts/{fired}"' in page
        assert "132015 Template is Paused" in page
        assert "Use another template, and revise this one" in page
        assert re.search(r"50\N{NARROW NO-BREAK SPACE}%</b>\s+of 40 messages", page)

    def test_without_a_scheduler_it_does_not_say_that_all_is_quiet(self, admin, deliver, now):
        deliver(body(status(at=now)))
        page = admin.get("/").text
        assert "All quiet" not in page
        assert "The scheduler has never run" in page

    def test_all_is_quiet_when_rules_are_looked_at_and_none_is_broken(self, admin, deliver, engine, now):
        deliver(body(status(at=now)))
        with engine.begin() as connection:
            scheduler_state.record_start(connection, "evaluate", "host", now)
            scheduler_state.record_end(connection, "evaluate", "host", now, 0.1, "")
        assert "All quiet" in admin.get("/").text

    def test_what_was_not_understood_is_pointed_out(self, admin, deliver):
        deliver(json.dumps(document({"statuses": [{"id": 5}]})).encode())
        assert "1 item was not understood" in admin.get("/").text

    def test_the_script_gets_the_same_parts_and_the_chart(self, admin, fired):
        data = admin.get("/dashboard/data").json
        assert data["headline"] == "1 alert firing"
        assert "132015" in data["parts"]["codes"]
        chart = data["chart"]
        assert [line["name"] for line in chart["lines"]] == ["Broken", "Withheld", "Unreachable"]
        assert len(chart["at"]) == len(chart["attempts"]) == len(chart["lines"][0]["rates"]) == 180
        assert (chart["attempts"][-1], chart["lines"][0]["failures"][-1]) == (40, 20)
        assert chart["threshold"] == 0.02
        assert [band["kind"] for band in chart["bands"]] == ["firing"]

    def test_large_numbers_have_thin_spaces(self, admin, deliver, now):
        deliver(body(*(status(f"wamid.{n}", at=now) for n in range(1204))))
        assert "1\N{NARROW NO-BREAK SPACE}204" in admin.get("/").text


class TestAlerts:
    def test_the_list_has_the_firing_ones_first(self, admin, engine, fired, now):
        gone = {"state": "resolved", "resolved_at": now, "group": {"code": 1}, "codes": [1]}
        with engine.begin() as connection:
            known = alerts.get_alert(connection, fired)
            values = {name: getattr(known, name) for name in known.__struct_fields__} | gone
            later = alerts.insert_new(connection, alerts.Alert(**values))
        page = admin.get("/alerts").text
        assert page.index(f"/alerts/{fired}") < page.index(f"/alerts/{later}")

    def test_one_alert_tells_its_story(self, admin, fired):
        page = admin.get(f"/alerts/{fired}").text
        for words in (
            "20 of 40 messages failed",
            NUMBER,
            "wamid.",
            "Pending",
            "Notification to the log waiting",
        ):
            assert words in page
        assert admin.get(f"/dashboard/alerts/{fired}").json["chart"]["lines"][0]["failures"][-1] == 20

    def test_an_admin_acknowledges_and_snoozes(self, admin, fired, alert, now):
        token = token_of(admin.get(f"/alerts/{fired}"))
        assert admin.post(f"/alerts/{fired}/acknowledge", data={"token": token}).status_code == 303
        assert admin.post(f"/alerts/{fired}/snooze", data={"token": token, "for": "1h"}).status_code == 303
        assert alert().acknowledged_by == "ADMIN_API_KEY"
        assert timedelta(minutes=59) < alert().snoozed_until - now < timedelta(minutes=62)
        assert "ADMIN_API_KEY" in admin.get(f"/alerts/{fired}").text

    @pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "0" * 64}])
    @pytest.mark.parametrize("action", ["acknowledge", "snooze"])
    def test_a_form_that_is_not_ours_changes_nothing(self, admin, fired, alert, action, data):
        assert admin.post(f"/alerts/{fired}/{action}", data=data).status_code == 403
        assert (alert().acknowledged_at, alert().snoozed_until) == (None, None)

    @pytest.mark.parametrize("action", ["acknowledge", "snooze"])
    def test_a_viewer_changes_nothing_and_sees_no_buttons(self, viewer, fired, alert, action):
        page = viewer.get(f"/alerts/{fired}")
        assert "<button" not in page.text[page.text.index("<main") :]
        response = viewer.post(f"/alerts/{fired}/{action}", data={"token": token_of(page)})
        assert response.status_code == 403
        assert (alert().acknowledged_at, alert().snoozed_until) == (None, None)

    @pytest.mark.parametrize("number", [404, 2**63, 10**30])
    def test_an_alert_that_is_not_there_is_not_found(self, admin, number):
        response = admin.get(f"/alerts/{number}")
        assert response.status_code == 404
        assert "There is no alert" in response.text


class TestSafety:
    def test_a_hostile_template_name_is_only_text(self, admin, fired):
        for path in ("/", "/alerts", f"/alerts/{fired}"):
            page = admin.get(path).text
            assert HOSTILE not in page
            assert "&lt;script&gt;" in page
        for path in ("/dashboard/data", f"/dashboard/alerts/{fired}"):
            assert not any(HOSTILE in part for part in admin.get(path).json["parts"].values())

    @pytest.mark.parametrize("path", [*PAGES, "/login", "/alerts/404", "/dashboard/data"])
    def test_every_answer_forbids_what_pages_do_not_need(self, admin, path):
        headers = admin.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("path", [*PAGES, "/login"])
    def test_pages_carry_no_inline_script_or_style(self, admin, path):
        page = admin.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
        assert not re.search(r"(src|href)=\"(https?:)?//", page)

    @pytest.mark.parametrize("packed", [True, False])
    def test_plotly_comes_from_here_and_may_be_kept_for_good(self, client, packed):
        headers = {"Accept-Encoding": "gzip"} if packed else {}
        response = client.get("/static/plotly.min.js", headers=headers)
        assert response.status_code == 200
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
        assert (len(response.data) < 2_000_000) is packed

    @pytest.mark.parametrize("name", ["docs.css", "..%2fapp.py", "nothing.js"])
    def test_no_other_file_is_served(self, client, name):
        assert client.get(f"/static/{name}").status_code == 404


def test_the_last_delivery_is_found_from_the_end_of_the_archive(deliver, connection, now):
    assert last_received_at(connection, now) is None
    connection.rollback()
    deliver(body(status(at=now)))
    assert abs(last_received_at(connection, now + timedelta(minutes=1)) - now) < timedelta(minutes=1)
