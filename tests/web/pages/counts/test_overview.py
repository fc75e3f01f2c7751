"""The overview and its live parts, and what all pages have in common."""

import json
import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text

from tests.support.alerts import store_alert
from tests.support.factories import body, document, status
from tests.support.incidents import HOUR, store_incident
from tests.web.conftest import ADMIN_KEY, sign_in
from tests.web.pages.conftest import PAGES
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store import schema
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.partitions import partitions
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


@pytest.fixture
def opened(deliver, engine, now):
    """The id of an open incident about a template with a hostile name."""
    named = {"biz_opaque_callback_data": json.dumps({"template": HOSTILE})}
    sent = [status(f"wamid.{n}", "sent", now, **named) for n in range(40)]
    failed = [status(f"wamid.{n}", "failed", now, code=132015, **named) for n in range(20)]
    deliver(body(*sent, *failed))
    evaluate(engine, parse_rules(RULES), now)
    with engine.connect() as connection:
        return incidents.open_incidents(connection)[0].id


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

    def test_an_open_incident_is_the_first_thing_it_says(self, admin, opened):
        page = admin.get("/").text
        assert "1 open incident" in page
        assert f'href="/incidents/{opened}"' in page
        assert "132015 Template is Paused" in page
        assert re.search(r"50\N{NARROW NO-BREAK SPACE}%</b>\s+of 40 messages", page)
        assert "What to do" in page

    def test_incidents_beyond_the_third_are_one_line_each(self, admin, engine, deliver, now):
        deliver(body(status(at=now)))
        made = [
            store_incident(engine, now, {"group": {"code": n}}, title=f"Cause {n}", began_at=now - n * HOUR)
            for n in range(5)
        ]
        page = admin.get("/").text
        assert "5 open incidents" in page
        assert "2 more open incidents" in page
        assert all(f'href="/incidents/{each}"' in page for each in made)

    def test_a_pending_alert_is_no_incident_yet(self, admin, engine, deliver, now):
        deliver(body(status(at=now)))
        store_alert(engine, now)
        assert "Failures are rising" in admin.get("/").text

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

    def test_the_script_gets_the_same_parts_and_the_chart(self, admin, opened):
        data = admin.get("/dashboard/data").json
        assert data["headline"] == "1 open incident"
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


class TestSafety:
    def test_a_hostile_template_name_is_only_text(self, admin, engine, opened):
        with engine.connect() as connection:
            [alert] = alerts.of_incidents(connection, [opened])
        shown = [f"/incidents/{opened}", f"/alerts/{alert.id}"]
        for path in ("/", f"/incidents/{opened}"):
            page = admin.get(path).text
            assert HOSTILE not in page
            assert "&lt;script&gt;" in page
        for path in ("/incidents", "/alerts", f"/alerts/{alert.id}"):
            assert HOSTILE not in admin.get(path).text
        for path in ("/dashboard/data", *(f"/dashboard{each}" for each in shown)):
            assert not any(HOSTILE in part for part in admin.get(path).json["parts"].values())

    @pytest.mark.parametrize("path", [*PAGES, "/login", "/incidents/404", "/alerts/404", "/dashboard/data"])
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


@pytest.fixture
def unused_archive(engine):
    """Pages of deleted rows, which earlier tests leave, would decide where a row is put."""
    with engine.begin() as connection:
        names = ", ".join(name for name, _ in partitions(connection, "deliveries"))
        connection.execute(text(f"TRUNCATE {names}"))


@pytest.mark.usefixtures("unused_archive")
def test_the_last_delivery_is_found_from_the_end_of_the_archive(deliver, connection, now):
    assert last_received_at(connection, now) is None
    connection.rollback()
    deliver(body(status(at=now)))
    read_at = datetime.now(UTC)
    assert now <= last_received_at(connection, read_at) <= read_at


@pytest.mark.usefixtures("unused_archive")
def test_the_last_delivery_is_found_in_the_room_that_an_erasure_left_at_the_beginning(connection, now):
    add = text(
        "INSERT INTO deliveries (received_at, body)"
        " SELECT :at, CAST(repeat('x', 1000) AS bytea) FROM generate_series(1, :rows)"
    )
    midnight = now.replace(hour=0, minute=0, second=0)
    connection.execute(add, {"at": now, "rows": 1})
    connection.execute(add, {"at": midnight, "rows": 400})
    assert last_received_at(connection, now) == now
