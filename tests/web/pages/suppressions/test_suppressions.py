"""The list of suppressions, its files, the review queue and the change log."""

import io
import json
import re
from datetime import timedelta

import pytest

from tests.support.factories import NUMBER
from tests.web.pages.conftest import HOSTILE, main_of
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.suppressions import changes, lists, suppressions
from webhook_app.store.suppressions.suppressions import Suppression

ONE, TWO, THREE = "5511987000001", "5511987000002", "5511987000003"
QUEUE, LOG, IMPORT = "/suppressions/review", "/suppressions/changes", "/suppressions/import"


def automatic(contact, now, **more):
    return Suppression(
        **({"reason": "hard", "code": 131026, "actor": "system", "review": True} | more),
        contact=contact,
        since=now,
    )


@pytest.fixture
def suppressed_contacts(engine):
    """Reads who is suppressed: {contact: [(reason, review), …]}."""

    def read():
        with engine.connect() as connection:
            rows = lists.list_page(connection, 1000)
        found = {}
        for row in rows:
            found.setdefault(row.contact, []).append((row.reason, row.review))
        return found

    return read


@pytest.fixture
def three(engine, now):
    """One by hand with a hostile note, one by wish for marketing, one by rule."""
    with engine.begin() as connection:
        suppressions.put(connection, ONE, actor="somebody", note=HOSTILE, now=now)
        suppressions.put(
            connection,
            TWO,
            reason="opted_out",
            scope="marketing",
            actor="person",
            phone_number_id=NUMBER,
            now=now,
        )
        suppressions.apply(connection, [automatic(THREE, now)], [], now)


@pytest.fixture
def queue(engine, now):
    with engine.begin() as connection:
        rows = [automatic(contact, now) for contact in (ONE, TWO, THREE)]
        suppressions.apply(connection, rows, [], now)


def listed(page):
    return [f"+{each}" for each in re.findall(r'href="/contacts\?contact=%2B(\d+)"', page)]


def ticks(page, name="item"):
    return re.findall(rf'name="{name}" value="([^"]+)"', page)


class TestList:
    def test_without_suppressions_it_says_how_contacts_get_suppressed(self, viewer_browser):
        page = viewer_browser.see("/suppressions")
        assert "No contacts are suppressed" in page
        assert f'href="{IMPORT}"' in page

    @pytest.mark.parametrize(
        ("query", "contacts"),
        [
            ({}, [ONE, TWO, THREE]),
            ({"reason": "manual"}, [ONE]),
            ({"scope": "marketing"}, [TWO]),
            ({"phone_number_id": NUMBER}, [TWO]),
            ({"review": "true"}, [THREE]),
            ({"review": "false", "scope": "all"}, [ONE]),
            ({"reason": "unreachable"}, []),
            ({"reason": "", "scope": ""}, [ONE, TWO, THREE]),
        ],
    )
    def test_every_filter_narrows_the_list_and_its_files(self, viewer_browser, three, query, contacts):
        page = viewer_browser.see("/suppressions", **query)
        assert listed(page) == [f"+{each}" for each in contacts]
        assert ("Nobody fits these filters" in page) is not contacts
        for link in re.findall(r'href="(/suppressions/export[^"]*)"', page):
            answer = viewer_browser.client.get(link.replace("&amp;", "&"))
            assert re.findall(r"\+(\d{8,})", answer.text) == contacts
            assert "X-Version" in answer.headers

    @pytest.mark.parametrize(
        "query", [{"reason": "odd"}, {"scope": "odd"}, {"review": "odd"}, {"cursor": "zzz"}]
    )
    def test_what_cannot_be_asked_is_refused(self, viewer_browser, query):
        viewer_browser.see("/suppressions", status=400, **query)

    def test_it_comes_in_pages(self, viewer_browser, engine, now):
        contacts = [f"55119870{n:05}" for n in range(60)]
        with engine.begin() as connection:
            suppressions.apply(connection, [automatic(contact, now) for contact in contacts], [], now)
        first = viewer_browser.see("/suppressions", reason="hard")
        following = re.search(r'href="(/suppressions\?[^"]*)" rel="next"', first)[1].replace("&amp;", "&")
        assert listed(first) + listed(viewer_browser.see(following)) == [f"+{each}" for each in contacts]

    def test_notes_are_only_text(self, viewer_browser, three):
        page = viewer_browser.see("/suppressions")
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page

    def test_an_address_with_a_contact_leads_to_the_person(self, viewer_browser):
        response = viewer_browser.client.get("/suppressions?contact=%2B491711234567")
        assert response.location == "/contacts?contact=%2B491711234567"


class TestReview:
    def test_an_empty_queue_says_so(self, viewer_browser):
        assert "No suppressions to review" in viewer_browser.see(QUEUE)

    def test_only_what_rules_made_waits(self, viewer_browser, three):
        assert listed(viewer_browser.see(QUEUE)) == [f"+{THREE}"]

    def test_pauses_of_meta_do_not_wait_and_the_list_says_what_they_are(self, viewer_browser, engine, now):
        until = now + timedelta(hours=24)
        paused = {"reason": "unreachable", "scope": "marketing", "code": 131049, "until": until}
        with engine.begin() as connection:
            suppressions.apply(connection, [automatic(ONE, now, **paused), automatic(TWO, now)], [], now)
        assert listed(viewer_browser.see(QUEUE)) == [f"+{TWO}"]
        words = f"Meta limits marketing to this person until {until:%Y-%m-%d %H:%M} UTC"
        assert words in viewer_browser.see("/suppressions")
        assert words in viewer_browser.see("/contacts", contact=f"+{ONE}")
        assert "Marketing limited by Meta" in viewer_browser.see(LOG)
        export = viewer_browser.client.get("/suppressions/export?format=csv&review=false").text
        assert words in export

    def test_one_is_confirmed_and_waits_no_more(self, admin_browser, queue, suppressed_contacts):
        page = admin_browser.submit(
            QUEUE, QUEUE, item=ticks(admin_browser.see(QUEUE))[0], action="confirm", note="looked at"
        )
        assert "1 suppression was confirmed." in page
        assert listed(page) == [f"+{TWO}", f"+{THREE}"]
        assert suppressed_contacts()[ONE] == [("hard", False)]

    def test_many_are_lifted_at_once(self, admin_browser, queue, suppressed_contacts):
        page = admin_browser.submit(
            QUEUE, QUEUE, item=ticks(admin_browser.see(QUEUE))[:2], action="lift", note="a bad list"
        )
        assert "2 suppressions were lifted." in page
        assert list(suppressed_contacts()) == [THREE]

    def test_all_shown_can_be_confirmed_without_a_selection(self, admin_browser, queue, suppressed_contacts):
        page = admin_browser.submit(
            QUEUE, QUEUE, shown=ticks(admin_browser.see(QUEUE), "shown"), action="confirm all", note=""
        )
        assert "3 suppressions were confirmed." in page
        assert "No suppressions to review" in page
        assert len(suppressed_contacts()) == 3

    def test_without_a_selection_nothing_changes(self, admin_browser, queue, suppressed_contacts):
        shown = ticks(admin_browser.see(QUEUE), "shown")
        assert "Nothing was selected" in admin_browser.submit(
            QUEUE, QUEUE, shown=shown, action="lift", note=""
        )
        assert len(suppressed_contacts()) == 3

    def test_somebody_faster_is_told(self, admin_browser, queue):
        item = ticks(admin_browser.see(QUEUE))[0]
        admin_browser.submit(QUEUE, QUEUE, item=item, action="confirm", note="")
        assert "had already been reviewed" in admin_browser.submit(
            QUEUE, QUEUE, item=item, action="lift", note=""
        )

    @pytest.mark.parametrize(
        "form", [{"item": "zzz", "action": "lift"}, {"item": "WyJhIl0", "action": "lift"}]
    )
    def test_an_invalid_form_changes_nothing(self, admin_browser, queue, suppressed_contacts, form):
        admin_browser.submit(QUEUE, QUEUE, status=400, **form)
        assert len(suppressed_contacts()) == 3

    def test_an_action_nobody_offers_is_refused(self, admin_browser, queue, suppressed_contacts):
        admin_browser.submit(QUEUE, QUEUE, status=400, item=ticks(admin_browser.see(QUEUE))[0], action="burn")
        assert len(suppressed_contacts()) == 3

    def test_a_viewer_can_change_nothing_and_sees_no_buttons(
        self, viewer_browser, admin_browser, queue, suppressed_contacts
    ):
        page = main_of(viewer_browser.see(QUEUE))
        assert "<button" not in page
        assert "checkbox" not in page
        viewer_browser.submit(
            "/suppressions", QUEUE, status=403, item=ticks(admin_browser.see(QUEUE)), action="lift"
        )
        assert len(suppressed_contacts()) == 3


class TestChangeLog:
    def test_an_empty_log_says_so(self, viewer_browser):
        assert "No changes yet" in viewer_browser.see(LOG)

    def test_the_latest_changes_come_first_and_notes_are_only_text(self, viewer_browser, three):
        page = viewer_browser.see(LOG)
        assert listed(page) == [f"+{each}" for each in (THREE, TWO, ONE)]
        assert HOSTILE not in page

    def test_it_is_narrowed_to_one_person_by_any_spelling(self, viewer_browser, three):
        assert listed(viewer_browser.see(LOG, contact="55 11 8700-0002")) == [f"+{TWO}"]
        assert "No changes for this contact" in viewer_browser.see(LOG, contact="+491711234567")
        viewer_browser.see(LOG, status=400, contact="nobody")

    def test_it_comes_in_pages(self, viewer_browser, engine, now):
        with engine.begin() as connection:
            rows = [automatic(f"55119870{n:05}", now) for n in range(60)]
            suppressions.apply(connection, rows, [], now)
        first = viewer_browser.see(LOG)
        following = re.search(r'href="(/suppressions/changes\?[^"]*)" rel="next"', first)[1]
        second = viewer_browser.see(following)
        assert len(listed(first)) == 50
        assert len(set(listed(first) + listed(second))) == 60
        assert "Back to the first page" in second

    def test_one_change_is_taken_back(self, admin_browser, three, suppressed_contacts):
        page = admin_browser.see(LOG)
        seq = dict(zip(listed(page), ticks(page, "change"), strict=True))[f"+{ONE}"]
        assert "Undone: 1 lifted." in admin_browser.submit(LOG, "/suppressions/undo", change=seq, note="")
        assert ONE not in suppressed_contacts()

    def test_a_whole_review_is_taken_back(self, admin_browser, queue, suppressed_contacts):
        admin_browser.submit(
            QUEUE, QUEUE, shown=ticks(admin_browser.see(QUEUE), "shown"), action="lift all", note=""
        )
        assert suppressed_contacts() == {}
        batch = re.search(r'href="(/suppressions/changes\?batch=[^"]*)"', admin_browser.see(LOG))[1]
        page = admin_browser.see(batch)
        assert len(listed(page)) == 3
        assert "checkbox" not in page
        name = re.search(r'name="batch" value="([^"]+)"', page)[1]
        assert "Undone: 3 restored." in admin_browser.submit(
            batch, "/suppressions/undo", batch=name, before="", note=""
        )
        assert len(suppressed_contacts()) == 3

    def test_a_wish_is_taken_back_only_with_words(self, admin_browser, three, suppressed_contacts):
        page = admin_browser.see(LOG, contact=f"+{TWO}")
        (seq,) = ticks(page, "change")
        refused = admin_browser.submit(LOG, "/suppressions/undo", change=seq, note="")
        assert "lift opt-outs" in refused
        assert TWO in suppressed_contacts()
        admin_browser.submit(LOG, "/suppressions/undo", change=seq, note="a mistake of ours")
        assert TWO not in suppressed_contacts()

    def test_the_reports_of_a_key_are_undone(self, admin_browser, api, engine, suppressed_contacts, now):
        sent = {"contact": "+12025550199", "message_id": "wamid.R", "phone_number_id": "1"}
        failed = sent | {"error": {"code": 130403, "message": "blocked"}}
        api.post("/v1/sends", json={"sends": [sent, failed]}, role="sender")
        suppress(engine, (), Thresholds(), now)
        assert "12025550199" in suppressed_contacts()
        form = {"hours": "1", "note": "wrong error"}
        assert "Undone: nothing." in admin_browser.submit(LOG, "/suppressions/undo", key="somebody", **form)
        assert "Undone: 1 lifted." in admin_browser.submit(LOG, "/suppressions/undo", key="sender", **form)
        assert "12025550199" not in suppressed_contacts()
        admin_browser.submit(LOG, "/suppressions/undo", status=400, key="sender", hours="x")

    def test_without_a_selection_nothing_is_undone(self, admin_browser, three, suppressed_contacts):
        assert "Nothing was selected" in admin_browser.submit(LOG, "/suppressions/undo", note="")
        assert len(suppressed_contacts()) == 3

    @pytest.mark.parametrize("form", [{"change": "x"}, {"change": "-1"}, {"batch": "b", "before": "x"}])
    def test_an_invalid_form_changes_nothing(self, admin_browser, three, suppressed_contacts, form):
        admin_browser.submit(LOG, "/suppressions/undo", status=400, **form)
        assert len(suppressed_contacts()) == 3

    def test_a_viewer_takes_nothing_back(self, viewer_browser, three, suppressed_contacts):
        page = main_of(viewer_browser.see(LOG))
        assert page.count("<button") == 1  # the search
        viewer_browser.submit(LOG, "/suppressions/undo", status=403, change="1", note="x")
        assert len(suppressed_contacts()) == 3

    def test_an_erasure_is_a_line_without_a_contact(self, admin_browser, three):
        admin_browser.submit("/contacts", "/contacts/erase", contact=f"+{ONE}", typed=f"+{ONE}")
        page = admin_browser.see(LOG)
        assert "person erased" in page
        assert f"+{ONE}" not in listed(page)
        assert len(ticks(page, "change")) == 2


def file(text, name="list.csv"):
    return io.BytesIO(text.encode()), name


class TestImport:
    ROWS = f"contact,note\n+55 11 8700-0001,{HOSTILE}\nnobody,\n+{TWO},\n"

    def test_a_check_shows_the_result_of_each_row_and_stores_nothing(
        self, admin_browser, suppressed_contacts
    ):
        page = admin_browser.submit(IMPORT, IMPORT, status=200, file=file(self.ROWS), action="check")
        assert "Result of the check" in page
        assert "<b>3</b> rows: 2 added, 0 changed, 0 unchanged, 1 invalid" in page
        assert "neither a phone number" in page
        assert suppressed_contacts() == {}

    def test_a_list_of_a_spreadsheet_is_understood(self, admin_browser, suppressed_contacts):
        rows = io.BytesIO(f"sep=;\r\nName;Phone\r\nAnna;{ONE}.0\r\n".encode("utf-16"))
        admin_browser.submit(IMPORT, IMPORT, status=200, file=(rows, "list.csv"), action="import")
        assert list(suppressed_contacts()) == [ONE]

    def test_a_file_that_cannot_be_understood_is_refused_once(self, admin_browser):
        page = admin_browser.submit(
            IMPORT, IMPORT, status=400, file=file("name;city\nAnna;Kiel\n"), action="import"
        )
        assert "Line 1: no column is called contact" in page

    def test_without_a_word_it_is_a_check(self, admin_browser, suppressed_contacts):
        admin_browser.submit(IMPORT, IMPORT, status=200, file=file(self.ROWS))
        assert suppressed_contacts() == {}

    def test_an_import_stores_the_rest_and_can_be_taken_back(self, admin_browser, suppressed_contacts):
        page = admin_browser.submit(
            IMPORT,
            IMPORT,
            status=200,
            file=file(self.ROWS),
            action="import",
            reason="opted_out",
            note="old list",
        )
        assert "Imported" in page
        assert suppressed_contacts() == {ONE: [("opted_out", False)], TWO: [("opted_out", False)]}
        log = admin_browser.see(re.search(r'href="(/suppressions/changes\?batch=[^"]*)"', page)[1])
        assert "old list" in log
        name = re.search(r'name="batch" value="([^"]+)"', log)[1]
        admin_browser.submit(LOG, "/suppressions/undo", batch=name, before="", note="the wrong list")
        assert suppressed_contacts() == {}

    def test_the_script_gets_each_row_and_then_the_counts(self, admin_browser, suppressed_contacts):
        token = re.search(r'name="token" value="([0-9a-f]+)"', admin_browser.see(IMPORT))[1]
        rows = "".join(f"+4917612{n:06}\n" for n in range(1201))
        response = admin_browser.client.post(
            IMPORT,
            data={"token": token, "file": file(rows, "list.txt"), "action": "import"},
            headers={"Accept": "application/x-ndjson"},
        )
        assert response.mimetype == "application/x-ndjson"
        told = [json.loads(line) for line in response.text.splitlines()]
        assert [each["row"] for each in told if "row" in each] == list(range(1, 1202))
        assert told[-1]["done"]["added"] == 1201
        assert len(suppressed_contacts()) == 1000  # of a page of them

    def test_ndjson_is_known_by_its_name(self, admin_browser, suppressed_contacts):
        rows = json.dumps({"contact": f"+{ONE}", "scope": "marketing"}) + "\n"
        admin_browser.submit(IMPORT, IMPORT, status=200, file=file(rows, "LIST.NDJSON"), action="import")
        assert list(suppressed_contacts()) == [ONE]

    def test_a_file_larger_than_other_forms_is_taken(self, admin_browser, suppressed_contacts):
        rows = f"contact,note\n+{ONE},{'x' * 400}\n" + "nobody\n" * 30_000
        page = admin_browser.submit(IMPORT, IMPORT, status=200, file=file(rows), action="import")
        assert "The first 200" in page
        assert list(suppressed_contacts()) == [ONE]

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({}, "No file was chosen"),
            ({"file": (io.BytesIO(b"1"), "list.csv"), "region": "QQ"}, "QQ has no numbering plan"),
            ({"file": (io.BytesIO(b"1"), "list.csv"), "reason": "odd"}, "is invalid"),
        ],
    )
    def test_a_file_that_cannot_be_imported_is_explained(self, admin_browser, form, words):
        assert words in admin_browser.submit(IMPORT, IMPORT, status=400, **form)

    def test_hostile_rows_are_only_text(self, admin_browser):
        page = admin_browser.submit(IMPORT, IMPORT, status=200, file=file(f"{HOSTILE}\n"), action="check")
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page

    def test_a_viewer_imports_nothing_not_even_to_check(self, viewer_browser, suppressed_contacts):
        assert "needs an admin key" in viewer_browser.see(IMPORT)
        viewer_browser.submit("/suppressions", IMPORT, status=403, file=file(self.ROWS), action="import")
        assert suppressed_contacts() == {}


def test_the_latest_changes_of_nobody_in_particular_have_no_gap(connection, three):
    found = changes.latest(connection, 2)
    assert [change.seq for change in found] == [3, 2]
    assert [change.seq for change in changes.latest(connection, 2, before=2)] == [1]
    assert changes.latest(connection, 2, batch="none") == []
