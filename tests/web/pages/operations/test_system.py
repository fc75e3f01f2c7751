"""/system and the pages below it: what they say of the service itself, and what can be done there."""

import json
from datetime import timedelta

import pytest

from tests.support.factories import body, document, status
from tests.web.conftest import ADMIN_KEY, SECRET, sign_in, token_of
from webhook_app.settings import Settings
from webhook_app.store.incidents import notification_log, outbox
from webhook_app.store.operations import audit, scheduler_state
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters
from webhook_app.web.pages.operations.system import shown_settings
from webhook_app.web.pages.wording import size

PATHS = ("/system", "/system/outbox", "/system/quarantine", "/system/audit")


@pytest.fixture
def failed(engine, now):
    """A notification that no try got through."""
    with engine.begin() as connection:
        outbox.add(connection, 7, "slack", "fired", {}, now)
        (entry,) = notification_log.entries(connection)
        connection.exec_driver_sql(
            "UPDATE notifications SET failed_at = now(), last_error = 'no_such_channel'"
        )
    return entry.id


@pytest.fixture
def odd(deliver):
    deliver(json.dumps(document({"statuses": [{"id": 5}]})).encode())
    deliver(b"this is no JSON")


@pytest.mark.parametrize("path", PATHS)
def test_each_has_something_to_say_before_anything_came(viewer, path):
    response = viewer.get(path)
    assert response.status_code == 200
    assert "<button" not in response.text[response.text.index("<main") :].replace(
        '<button type="submit" class="second">Show</button>', ""
    )


def test_the_books_of_each_day_and_of_all_time_stand_there(admin, deliver, now):
    deliver(body(*(status(f"wamid.{n}", at=now) for n in range(3))))
    page = admin.get("/system").text
    assert "✓ balance" in page
    assert page.count('data-label="Received">3</td>') == 2


def test_a_stopped_scheduler_is_shown_as_stopped_and_a_running_one_as_running(admin, engine, now):
    assert "It has never run" in admin.get("/system").text
    for began, words in ((now - timedelta(minutes=5), "◆ stopped"), (now, "✓ runs")):
        with engine.begin() as connection:
            scheduler_state.record_start(connection, "evaluate", "host-7:12", began)
            scheduler_state.record_end(connection, "evaluate", "host-7:12", began, 0.1, "")
        page = admin.get("/system").text
        assert words in page
        assert "host-7:12" in page


class TestSettings:
    def test_no_secret_is_on_the_page(self, make_app):
        secrets = {
            "meta_verify_token": "a verify token of the test",
            "slack_webhook_url": "https://hooks.slack.example/services/T0/B0/secret",
            "pagerduty_routing_key": "a routing key",
        }
        client = make_app(**secrets).test_client()
        sign_in(client, ADMIN_KEY)
        page = client.get("/system").text
        for secret in (*secrets.values(), SECRET.decode(), ADMIN_KEY, "postgresql", "dbname="):
            assert secret not in page
        assert "SLACK_WEBHOOK_URL" in page

    def test_a_setting_that_is_not_listed_as_open_is_masked(self):
        given = {
            "database_url": "postgresql://",
            "meta_app_secret": (b"s" * 16,),
            "meta_verify_token": "t" * 16,
        }
        shown = {each.name: each for each in shown_settings(Settings(**given))}
        assert set(shown) == {name.upper() for name in Settings.model_fields}
        assert (shown["META_APP_SECRET"].value, shown["META_APP_SECRET"].is_masked) == ("set", True)
        assert (shown["PORT"].value, shown["PORT"].is_masked) == ("8000", False)
        assert (shown["SLACK_WEBHOOK_URL"].value, shown["SLACK_WEBHOOK_URL"].is_masked) == ("", False)


class TestOutbox:
    def test_a_failed_notification_is_sent_again_once(self, admin, engine, failed):
        page = admin.get("/system/outbox?state=failed")
        assert "no_such_channel" in page.text
        for words in ("will be sent again now", "only failed notifications can be sent again"):
            response = admin.post(f"/system/outbox/{failed}/retry", data={"token": token_of(page)})
            assert words in admin.get(response.location).text
        with engine.connect() as connection:
            assert notification_log.entry(connection, failed).state == "waiting"

    def test_a_viewer_cannot(self, viewer, engine, failed):
        page = viewer.get("/system/outbox")
        assert (
            viewer.post(f"/system/outbox/{failed}/retry", data={"token": token_of(page)}).status_code == 403
        )
        with engine.connect() as connection:
            assert notification_log.entry(connection, failed).state == "failed"

    def test_it_narrows_by_state(self, admin, failed):
        assert f"/system/outbox/{failed}/retry" in admin.get("/system/outbox?state=failed").text
        assert "No notifications in this state" in admin.get("/system/outbox?state=sent").text

    def test_one_that_is_not_there_is_not_found(self, admin, failed):
        token = token_of(admin.get("/system/outbox"))
        assert admin.post("/system/outbox/404/retry", data={"token": token}).status_code == 404


class TestQuarantine:
    def test_items_narrow_by_reason_and_field(self, admin, odd):
        assert "<b>2</b> items in quarantine." in admin.get("/system/quarantine").text
        assert (
            "<b>1</b> item in quarantine with these filters."
            in admin.get("/system/quarantine?field=messages").text
        )
        assert (
            "No item matches these filters" in admin.get("/system/quarantine?reason=nothing+says+this").text
        )

    def test_only_admins_see_what_came(self, viewer, odd):
        page = viewer.get("/system/quarantine").text
        assert "this is no JSON" not in page
        assert "needs an admin key" in page

    def test_a_replay_shows_its_progress_and_the_results(self, admin, engine, odd, deliver, now):
        with engine.begin() as connection:  # as if a fix had come since
            fixed = body(status("wamid.fixed", at=now)).decode()
            connection.exec_driver_sql(
                "UPDATE quarantine SET document = %(fixed)s WHERE field = 'messages'", {"fixed": fixed}
            )
        page = admin.get("/system/quarantine")
        assert "this is no JSON" in page.text
        told = admin.post("/system/quarantine/replay", data={"token": token_of(page)}, buffered=True).text
        assert "2 of 2 replayed" in told
        assert "1 applied, 0 already known, 0 not needed, 1 still not understood" in told
        with engine.connect() as connection:
            assert quarantine.count_open(connection) == 1
            assert quarantine.count_open(connection, QuarantineFilters(field="messages")) == 0

    def test_a_second_one_waits_for_the_first_to_end(self, admin, odd):
        token = token_of(admin.get("/system/quarantine"))
        first = admin.post("/system/quarantine/replay", data={"token": token}, buffered=False)
        second = admin.post("/system/quarantine/replay", data={"token": token})
        assert second.status_code == 303
        assert "Another replay" in admin.get(second.location).text
        first.close()
        third = admin.post("/system/quarantine/replay", data={"token": token}, buffered=True)
        assert third.status_code == 200


def test_the_audit_pages_by_person(admin, engine, now):
    with engine.begin() as connection:
        for number in range(60):
            actor = "night shift" if number % 2 else "day shift"
            entry = audit.AuditEntry(
                at=now, actor=actor, role="admin", via="api", action=f"do {number:02}", outcome="done"
            )
            audit.insert(connection, entry)
    first = admin.get("/system/audit").text
    assert "do 59" in first
    assert "do 05" not in first
    following = first.rpartition('" rel="next"')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert "do 05" in admin.get(following).text
    only = admin.get("/system/audit?actor=night+shift").text
    assert "do 05" in only
    assert "do 06" not in only


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1234, "1.2 kB"),
        (8192, "8.2 kB"),
        (45_000_000, "45 MB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_have_the_unit_that_fits(count, words):
    assert size(count).replace("\N{NARROW NO-BREAK SPACE}", " ") == words
