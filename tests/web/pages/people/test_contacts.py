"""The page of a contact: search, timeline, suppressing, lifting, erasing."""

import re
from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, message, status
from tests.web.conftest import sign_in
from tests.web.pages.conftest import HOSTILE, Browser, main_of
from webhook_app.store.suppressions import suppressions

PERSON = "+5511987000001"


@pytest.fixture
def three_messages(deliver, now):
    """Two messages out, one of them failed, and one in."""
    campaign = {"biz_opaque_callback_data": "template=offer"}
    to = {"recipient": "551187000001"}
    deliver(
        body(
            status("wamid.1", "sent", now - timedelta(minutes=9), **campaign, **to),
            status("wamid.1", "delivered", now - timedelta(minutes=8), **campaign, **to),
            status("wamid.2", "failed", now - timedelta(minutes=7), code=131026, **campaign, **to),
        )
    )
    deliver(body(messages=[message("wamid.IN", now - timedelta(minutes=5), sender="5511987000001")]))


@pytest.fixture
def opted_out(engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, PERSON[1:], reason="opted_out", actor="person", note=HOSTILE, now=now)


@pytest.fixture
def person_state(engine):
    """Reads the person's suppressions: [(reason, scope, actor, note), …]."""

    def read():
        with engine.connect() as connection:
            rows = suppressions.get(connection, PERSON[1:])
        return [(row.reason, row.scope, row.actor, row.note) for row in rows]

    return read


class TestOddNumbers:
    """Numbers that Meta sent and no numbering plan knows."""

    def test_the_page_of_one_shows_suppresses_lifts_and_erases_it(self, admin_browser, deliver, now):
        odd = "+1234567890"
        deliver(body(messages=[message("wamid.ODD", now, sender=odd[1:])]))
        assert f"<b>{odd}</b>" in admin_browser.see("/contacts", contact=odd)
        path = f"/contacts?contact=%2B{odd[1:]}"
        admin_browser.submit(path, "/contacts/suppress", contact=odd, scope="all", note="asked")
        assert "asked" in admin_browser.see("/suppressions/changes", contact=odd)
        admin_browser.submit(path, "/contacts/lift", contact=odd, reason="manual")
        admin_browser.submit(
            f"/contacts/erase?contact=%2B{odd[1:]}", "/contacts/erase", contact=odd, typed=odd
        )
        assert "too short for a number of +1" in admin_browser.see("/contacts", status=400, contact=odd)


class TestSearch:
    def test_the_empty_page_says_what_can_be_typed(self, viewer_browser):
        assert "Any format works" in viewer_browser.see("/contacts")

    @pytest.mark.parametrize(
        "typed", ["+55 11 98700-0001", "005511987000001", "55 11 8700-0001", "(55) 11.98700.0001"]
    )
    def test_any_format_finds_the_person_and_the_page_shows_how_it_was_read(
        self, viewer_browser, three_messages, typed
    ):
        page = viewer_browser.see("/contacts", contact=typed)
        assert f"<b>{PERSON}</b>, a phone number in BR" in page
        assert 'href="/messages/wamid.1"' in page

    def test_it_says_when_another_spelling_was_typed(self, viewer_browser):
        assert "entered as +551187000001" in viewer_browser.see("/contacts", contact="551187000001")

    def test_national_numbers_are_understood_in_a_default_region(self, make_app, keys):
        client = make_app(default_region="de").test_client()
        sign_in(client, keys["viewer"])
        assert "<b>+4917612345678</b>" in Browser(client).see("/contacts", contact="0176 12345678")

    def test_a_user_id_is_understood_too(self, viewer_browser):
        assert "a business-scoped user id" in viewer_browser.see(
            "/contacts", contact="US.13491208655302741918"
        )

    @pytest.mark.parametrize("typed", ["<b>", "017612345678", HOSTILE, "x" * 300, "a\0b"])
    def test_an_invalid_contact_is_explained(self, viewer_browser, typed):
        page = viewer_browser.see("/contacts", status=400, contact=typed)
        assert 'role="alert"' in page
        assert HOSTILE not in page

    def test_the_id_of_a_message_leads_to_the_message(self, viewer_browser):
        response = viewer_browser.client.get("/contacts", query_string={"contact": "wamid.A/B="})
        assert response.location == "/messages/wamid.A%2FB%3D"


class TestPerson:
    def test_the_timeline_has_every_event_and_the_outcome_of_each_message(
        self, viewer_browser, three_messages
    ):
        page = viewer_browser.see("/contacts", contact=PERSON)
        assert "wrote to you" in page
        for message_id, outcome in (("1", "delivered"), ("2", "failed")):
            assert re.search(rf"wamid\.{message_id}</a></th>\s*<td[^>]*><span><span[^>]*>{outcome}<", page)
        assert "24-hour window open with" in page
        assert "This contact is not suppressed" in page

    def test_for_an_unknown_contact_the_page_says_what_to_check(self, viewer_browser):
        page = viewer_browser.see("/contacts", contact="+4917612345678")
        assert "There is no data about this contact" in page
        assert "No 24-hour window is open" in page

    def test_the_timeline_comes_in_pages(self, viewer_browser, deliver, now):
        sent = [
            status(f"wamid.{n}", "sent", now - timedelta(seconds=n), recipient="551187000001")
            for n in range(60)
        ]
        deliver(body(*sent))
        first = viewer_browser.see("/contacts", contact=PERSON)
        following = re.search(r'href="(/contacts\?[^"]*)" rel="next"', first)[1].replace("&amp;", "&")
        second = viewer_browser.see(following)
        timelines = [
            re.findall(r'About"><span><a href="/messages/wamid\.(\d+)"', page) for page in (first, second)
        ]
        assert timelines[0] + timelines[1] == [str(n) for n in range(60)]
        assert "Back to the first page" in second

    def test_suppressions_are_shown_with_their_evidence(self, viewer_browser, opted_out):
        page = viewer_browser.see("/contacts", contact=PERSON)
        assert "Do not send messages" in page
        assert "Opted out" in page
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


class TestDeciding:
    def test_an_admin_suppresses_with_a_reason_and_an_end(self, admin_browser, engine, now, person_state):
        page = admin_browser.submit(
            f"/contacts?contact=%2B{PERSON[1:]}",
            "/contacts/suppress",
            contact=PERSON,
            scope="marketing",
            days="30",
            phone_number_id="",
            note="asked by phone",
        )
        assert "Marketing messages to this contact are suppressed for 30 days." in page
        assert person_state() == [("manual", "marketing", "ADMIN_API_KEY", "asked by phone")]
        with engine.connect() as connection:
            (row,) = suppressions.get(connection, PERSON[1:])
        assert abs(row.until - now - timedelta(days=30)) < timedelta(minutes=5)

    def test_an_admin_lifts_one_of_several(self, admin_browser, engine, now, opted_out, person_state):
        with engine.begin() as connection:
            suppressions.put(connection, PERSON[1:], actor="somebody", now=now)
        page = admin_browser.submit(
            f"/contacts?contact=%2B{PERSON[1:]}",
            "/contacts/lift",
            contact=PERSON,
            reason="manual",
            scope="all",
            phone_number_id="",
            note="",
        )
        assert "1 suppression was lifted." in page
        assert [row[0] for row in person_state()] == ["opted_out"]

    def test_an_opt_out_is_lifted_only_with_a_reason(self, admin_browser, opted_out, person_state):
        form = {"contact": PERSON, "reason": "opted_out", "scope": "all", "phone_number_id": ""}
        where = f"/contacts?contact=%2B{PERSON[1:]}"
        assert "The person opted out" in admin_browser.submit(where, "/contacts/lift", note=" ", **form)
        assert len(person_state()) == 1
        assert "was lifted" in admin_browser.submit(
            where, "/contacts/lift", note="wrote START by mail", **form
        )
        assert person_state() == []

    def test_lifting_a_suppression_that_is_gone_says_so(self, admin_browser):
        page = admin_browser.submit(
            "/contacts", "/contacts/lift", contact=PERSON, reason="manual", scope="all", note=""
        )
        assert "it was lifted already" in page

    @pytest.mark.parametrize(
        "form",
        [
            {"contact": PERSON, "scope": "everything"},
            {"contact": PERSON, "scope": "all", "note": "x" * 501},
            {"contact": PERSON, "scope": "all", "note": "a\0b"},
            {"contact": "nobody", "scope": "all"},
        ],
    )
    def test_an_invalid_form_changes_nothing(self, admin_browser, person_state, form):
        admin_browser.submit("/contacts", "/contacts/suppress", status=400, **form)
        assert person_state() == []

    @pytest.mark.parametrize("action", ["suppress", "lift", "erase"])
    def test_a_viewer_can_change_nothing_and_sees_no_buttons(
        self, viewer_browser, opted_out, person_state, action
    ):
        assert main_of(viewer_browser.see("/contacts", contact=PERSON)).count("<button") == 1  # the search
        viewer_browser.submit(
            "/contacts",
            f"/contacts/{action}",
            status=403,
            contact=PERSON,
            scope="all",
            note="x",
            typed=PERSON,
        )
        assert [row[0] for row in person_state()] == ["opted_out"]


class TestErasing:
    WHERE = f"/contacts/erase?contact=%2B{PERSON[1:]}"

    def test_it_says_what_is_erased_and_asks_for_the_number(self, admin_browser, opted_out):
        page = admin_browser.see(self.WHERE)
        assert "type the number or id" in page
        assert "This person opted out" in page

    def test_a_wrong_confirmation_erases_nothing(
        self, admin_browser, three_messages, opted_out, person_state
    ):
        for typed in ("", "yes", "+5511987000002"):
            page = admin_browser.submit(
                self.WHERE, "/contacts/erase", status=400, contact=PERSON, typed=typed
            )
            assert "Nothing was erased" in page
        assert len(person_state()) == 1

    def test_typed_in_any_format_it_erases_and_the_page_does_not_name_the_person(
        self, admin_browser, three_messages, opted_out, person_state
    ):
        page = admin_browser.submit(self.WHERE, "/contacts/erase", contact=PERSON, typed="55 11 8700 0001")
        assert "Erased from" in page
        assert "checks still refuse" in page
        assert PERSON[1:] not in page
        assert person_state() == []
        assert "There is no data about this contact" in admin_browser.see("/contacts", contact=PERSON)

    def test_an_opt_out_from_before_an_erasure_is_shown_and_removed_only_with_a_reason(
        self, admin_browser, viewer_browser, opted_out
    ):
        admin_browser.submit(self.WHERE, "/contacts/erase", contact=PERSON, typed=PERSON)
        page = viewer_browser.see("/contacts", contact="55 11 8700-0001")
        assert "opted out before being erased" in page
        assert "This contact is not suppressed" not in page
        form = {
            "contact": PERSON,
            "erased": "true",
            "reason": "opted_out",
            "scope": "all",
            "phone_number_id": "",
        }
        where = f"/contacts?contact=%2B{PERSON[1:]}"
        assert "The person opted out" in admin_browser.submit(where, "/contacts/lift", note="", **form)
        assert "was removed" in admin_browser.submit(where, "/contacts/lift", note="they asked again", **form)
        assert "This contact is not suppressed" in admin_browser.see("/contacts", contact=PERSON)

    def test_a_viewer_may_read_but_has_no_form(self, viewer_browser):
        assert "needs an admin key" in viewer_browser.see(self.WHERE)

    def test_an_invalid_contact_cannot_be_erased(self, admin_browser):
        admin_browser.see("/contacts/erase", status=400, contact="nobody")


def test_no_title_contains_a_number(admin_browser, three_messages):
    for path in (
        f"/contacts?contact=%2B{PERSON[1:]}",
        f"/contacts/erase?contact=%2B{PERSON[1:]}",
        "/messages/wamid.1",
    ):
        title = re.search(r"<title>(.*?)</title>", admin_browser.see(path))[1]
        assert not re.search(r"\d{5}", title)
    assert NUMBER not in title
