"""What every page has: who may see and use it, navigation, colours, the message of the last action, and the audit."""

import re
from io import BytesIO

import pytest
from structlog.testing import capture_logs

from tests.support.factories import body, status
from tests.support.incidents import store_incident
from tests.web.conftest import ADMIN_KEY, sign_in, token_of
from webhook_app.store.operations import audit
from webhook_app.store.suppressions import suppressions
from webhook_app.web.pages import PAGES
from webhook_app.web.pages.navigation import NAVIGATION, NavigationEntry
from webhook_app.web.pages.routes import MAX_REFUSALS

MALFORMED = ("//[x", "//a\u2100b", "http://[::1", "//[::1]x/")
"""Addresses that the standard library refuses to parse, or nearly."""


def name_of(page):
    return page.view.__name__


def address_of(page):
    """The page's path with a number for each parameter."""
    return re.sub(r"<[^>]+>", "1", page.path)


@pytest.fixture
def incident_id(engine, now):
    return store_incident(engine, now, {})


@pytest.fixture
def written(engine):
    """What the audit says, the oldest first: (actor, via, action, object, contact, outcome)."""

    def read():
        with engine.connect() as connection:
            entries = audit.list_page(connection, 50)[::-1]
        return [(e.actor, e.via, e.action, e.object, e.contact, e.outcome) for e in entries]

    return read


class TestNavigation:
    def test_every_page_that_is_linked_is_there(self, admin):
        linked = re.findall(r'<li><a href="(/\w*)"', admin.get("/").text)
        assert linked == [entry.path for entry in NAVIGATION]
        assert all(admin.get(path).status_code == 200 for path in linked)

    @pytest.mark.parametrize(
        ("shown", "marked"),
        [
            ("/incidents", "page"),
            ("/incidents/7", "true"),
            ("/alerts", "true"),
            ("/alerts/7", "true"),
            ("/incidentsome", ""),
            ("/", ""),
        ],
    )
    def test_it_says_which_page_is_shown(self, shown, marked):
        assert NavigationEntry("/incidents", "Incidents", also=("/alerts",)).aria_current(shown) == marked

    def test_the_first_page_is_not_above_all_others(self):
        assert NavigationEntry("/", "Overview").aria_current("/alerts") == ""


class TestTable:
    """Every page of the table gets these checks, new ones included."""

    def test_names_and_addresses_are_unique(self):
        assert len({page.view.__name__ for page in PAGES}) == len(PAGES)
        assert len({(page.method, page.path) for page in PAGES}) == len(PAGES)

    @pytest.mark.parametrize("page", [page for page in PAGES if not page.is_public], ids=name_of)
    def test_without_a_session_nothing_is_shown_or_changed(self, client, page):
        response = client.open(address_of(page), method=page.method)
        if page.method == "POST":
            assert response.status_code == 403
        elif page.path.startswith("/dashboard/"):
            assert response.status_code == 401
        else:
            assert (response.status_code, response.location[:11]) == (303, "/login?next")

    @pytest.mark.parametrize(
        "page", [page for page in PAGES if page.method == "POST" and not page.is_public], ids=name_of
    )
    def test_viewers_change_nothing_and_admins_only_with_our_form(self, app, viewer, page, written):
        token = token_of(viewer.get("/system"))
        refused = viewer.post(address_of(page), data={"token": token})
        assert (refused.status_code, "needs an admin key" in refused.text) == (403, True)
        admin = app.test_client()
        sign_in(admin, ADMIN_KEY)
        forged = admin.post(address_of(page), data={"token": token})
        assert (forged.status_code, "out of date" in forged.text) == (403, True)
        action = page.view.__name__.replace("_", " ")
        assert [(each[2], each[5]) for each in written()[1:] if each[2] != "sign in"] == 2 * [
            (action, "refused")
        ]


class TestConnections:
    @pytest.mark.parametrize(
        "path", ["/", "/failures/export", "/suppressions/export", "/failures/{failure}/bundle?format=text"]
    )
    def test_a_page_takes_one_connection_at_a_time(self, viewer, deliver, now, checkouts, path):
        """A page that waits for a second one while it holds the first can stop all the others."""
        deliver(body(status("wamid.A", "failed", now, code=131026)))
        failure = re.search(r'href="/failures/([\w-]{20,})"', viewer.get("/failures").text)[1]
        assert viewer.get(path.format(failure=failure)).status_code == 200
        assert checkouts.most == 1

    @pytest.mark.parametrize("accepted", ["text/html", "application/x-ndjson"])
    def test_an_import_takes_one_connection_at_a_time(self, admin, written, checkouts, accepted):
        form = {"token": token_of(admin.get("/suppressions/import")), "action": "import"}
        form["file"] = (BytesIO(b"contact\n+12025550117\n"), "list.csv")
        answer = admin.post("/suppressions/import", data=form, headers={"Accept": accepted})
        assert answer.status_code == 200, answer.text
        answer.close()
        assert checkouts.most == 1
        assert written()[-1] == ("ADMIN_API_KEY", "page", "import file", "", "", "done")


class TestColours:
    def test_a_choice_is_remembered_and_in_the_page_before_any_script_runs(self, admin):
        assert "data-theme" not in admin.get("/").text
        response = admin.post("/theme", data={"theme": "dark", "next": "/alerts?cursor="})
        assert (response.status_code, response.location) == (303, "/alerts?cursor=")
        page = admin.get("/alerts").text
        assert '<html lang="en" data-theme="dark">' in page
        assert 'value="dark" aria-pressed="true"' in page

    @pytest.mark.parametrize("chosen", ["", "plaid", '"><script>'])
    def test_something_else_changes_nothing(self, admin, chosen):
        admin.post("/theme", data={"theme": chosen})
        assert admin.get_cookie("webhook_app_theme") is None

    def test_a_forged_cookie_is_rejected(self, admin):
        admin.set_cookie("webhook_app_theme", '"><script>')
        assert "data-theme" not in admin.get("/").text

    def test_it_leads_to_pages_of_ours_only(self, admin):
        form = {"theme": "dark", "next": "//elsewhere.example/"}
        assert admin.post("/theme", data=form).location == "/"

    @pytest.mark.parametrize("wanted", MALFORMED)
    def test_a_malformed_address_leads_to_the_first_page(self, admin, wanted):
        assert admin.post("/theme", data={"theme": "dark", "next": wanted}).location == "/"

    @pytest.mark.parametrize("public_url", ["", "https://hooks.example.com"])
    def test_the_choice_is_sent_over_https_only_when_the_public_address_has_it(self, make_app, public_url):
        client = make_app(public_url=public_url).test_client()
        cookie = client.post("/theme", data={"theme": "dark"}).headers["Set-Cookie"]
        assert ("Secure" in cookie) is bool(public_url)


class TestMessages:
    @pytest.fixture
    def snoozed(self, admin, incident_id):
        token = token_of(admin.get(f"/incidents/{incident_id}"))
        return admin.post(f"/incidents/{incident_id}/snooze", data={"token": token}).location

    def test_an_action_says_once_what_it_did(self, admin, snoozed):
        assert "Snoozed: no reminders until" in admin.get(snoozed).text
        assert "Snoozed: no reminders until" not in admin.get(snoozed).text

    def test_it_is_not_shown_to_another_session(self, admin, snoozed):
        kept = admin.get_cookie("webhook_app_message").value
        admin.delete_cookie("webhook_app_session")
        sign_in(admin, ADMIN_KEY)
        admin.set_cookie("webhook_app_message", kept)
        assert 'class="flash' not in admin.get(snoozed).text

    def test_a_forged_message_is_not_shown(self, admin):
        admin.set_cookie("webhook_app_message", "made up")
        assert 'class="flash' not in admin.get("/").text


class TestAudit:
    def test_signing_in_and_out_is_written_down(self, viewer, written):
        viewer.post("/logout", data={"token": token_of(viewer.get("/"))})
        assert written() == [
            ("viewer", "page", "sign in", "", "", "done"),
            ("viewer", "page", "sign out", "", "", "done"),
        ]

    def test_what_an_admin_does_on_a_page_is(self, admin, incident_id, written):
        token = token_of(admin.get(f"/incidents/{incident_id}"))
        admin.post(f"/incidents/{incident_id}/acknowledge", data={"token": token})
        did = ("ADMIN_API_KEY", "page", "acknowledge incident", f"incident {incident_id}", "", "done")
        assert written()[1:] == [did]

    def test_what_a_viewer_may_not_do_is_recorded_as_refused(self, viewer, incident_id, written):
        token = token_of(viewer.get(f"/incidents/{incident_id}"))
        assert viewer.post(f"/incidents/{incident_id}/snooze", data={"token": token}).status_code == 403
        assert written()[1:] == [
            ("viewer", "page", "snooze incident", f"incident {incident_id}", "", "refused")
        ]

    def test_a_refusal_names_no_contact(self, viewer, written):
        form = {"token": token_of(viewer.get("/system")), "contact": "+12025550117"}
        assert viewer.post("/suppressions", data=form).status_code in (403, 405)
        viewer.post("/contacts/12025550117/suppress", data=form)
        for page in PAGES:
            if page.method == "POST" and not page.is_public and "contact" in page.path:
                viewer.post(re.sub(r"<[^>]+>", "12025550117", page.path), data=form)
        refusals = [each for each in written() if each[5] == "refused"]
        assert refusals
        assert {each[4] for each in refusals} == {""}

    def test_refusals_of_a_key_are_recorded_up_to_a_limit_and_then_only_logged(self, viewer, written):
        token = token_of(viewer.get("/system"))
        with capture_logs() as logged:
            answers = [
                viewer.post("/incidents/1/snooze", data={"token": token}) for _ in range(MAX_REFUSALS + 3)
            ]
        assert {each.status_code for each in answers} == {403}
        assert [each[5] for each in written()].count("refused") == MAX_REFUSALS
        (line,) = [line for line in logged if line["event"] == "refused forms not recorded"]
        assert (line["kind"], line["count"]) == ("viewer", 1)

    def test_an_action_that_failed_is_not_recorded_as_done(self, admin, written):
        token = token_of(admin.get("/"))
        assert admin.post("/incidents/404/snooze", data={"token": token}).status_code == 404
        assert written()[1:] == [("ADMIN_API_KEY", "page", "snooze incident", "incident 404", "", "")]

    def test_a_change_by_the_api_is_recorded_with_its_contact(self, api, written):
        api.put("/v1/suppressions/+49 171 1234567", json={"note": "asked by phone"})
        assert written() == [("admin", "api", "put suppression", "", "491711234567", "done")]

    def test_reading_and_checking_is_not_recorded(self, api, engine, now, written):
        with engine.begin() as connection:
            suppressions.put(connection, "5511987000001", actor="somebody", note="", now=now)
        api.get("/v1/suppressions")
        api.post("/v1/check", role="sender", json={"contacts": ["+5511987000001"]})
        assert written() == []

    def test_the_audit_does_not_contain_erased_contacts(self, api, written):
        api.put("/v1/suppressions/+5511987000001", json={})
        api.delete("/v1/contacts/+5511987000001")
        assert [row[2:] for row in written()] == [
            ("put suppression", "", "", "done"),
            ("erase contact", "", "", "done"),
        ]
