"""The failure explorer and one failure, as people see them."""

import csv
import io
import json
import re
from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, status
from tests.web.pages.conftest import HOSTILE, main_of

OTHER = "590238114470099"


def spelt(at):
    return f"{at:%Y-%m-%d %H:%M}"


def found(page):
    """The messages listed, by what follows their wamid."""
    return re.findall(r'href="/messages/wamid\.(\w+)"', page)


@pytest.fixture
def three(deliver, now):
    """media and gone on one number, later one on another; oldest first."""
    told = {"biz_opaque_callback_data": "template=offer;campaign=autumn"}
    deliver(
        body(
            status("wamid.gone", "failed", now - timedelta(minutes=3), code=131026, recipient="551187654321"),
            status(
                "wamid.media", "failed", now - timedelta(minutes=2), code=131053, details="no answer", **told
            ),
        )
    )
    deliver(body(status("wamid.other", "failed", now - timedelta(minutes=1), code=131049), number=OTHER))


class TestExplorer:
    def test_without_failures_it_says_where_they_come_from(self, admin_browser):
        page = admin_browser.see("/failures")
        assert "No failures so far" in page
        assert "make demo" in page

    def test_failures_come_newest_first_with_meaning_person_and_advice(self, admin_browser, three):
        page = admin_browser.see("/failures")
        assert found(page) == ["other", "media", "gone"]
        assert 'href="/contacts?contact=%2B5511987654321"' in page
        assert 'href="/codes/131026"' in page
        assert "no answer" in page
        assert "wait</span> until" in page  # 131049 has a published time
        assert 'bad">no</span>' in page  # 131026 is not to be sent again

    @pytest.mark.parametrize(
        ("query", "listed"),
        [
            ({"code": "131053"}, ["media"]),
            ({"class": "unreachable"}, ["gone"]),
            ({"domain": "media"}, ["media"]),
            ({"contact": "+55 (11) 8765-4321"}, ["gone"]),
            ({"phone_number_id": OTHER}, ["other"]),
            ({"waba_id": "none"}, []),
            ({"template": "none"}, ["other", "gone"]),
            ({"template": "offer", "campaign": "autumn"}, ["media"]),
            ({"country": "br"}, ["gone"]),
            ({"text": "NO ANSWER"}, ["media"]),
            ({"source": "send"}, []),
            ({"dead_letter": "true"}, ["gone"]),
            ({"subcode": "none", "code": "131049"}, ["other"]),
            ({"until": "2001-01-01"}, []),
            ({"since": "2001-01-01 08:00 UTC", "class": "withheld"}, ["other"]),
        ],
    )
    def test_every_filter_narrows(self, admin_browser, three, query, listed):
        page = admin_browser.see("/failures", **query)
        assert found(page) == listed
        assert ("No failure matches these filters" in page) is not listed

    def test_a_span_of_time_is_read_as_utc(self, admin_browser, three, now):
        page = admin_browser.see("/failures", since=spelt(now - timedelta(minutes=10)), until=spelt(now))
        assert found(page) == ["other", "media", "gone"]
        assert found(admin_browser.see("/failures", since=spelt(now + timedelta(minutes=2)))) == []

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"code": "abc"}, "Error code: expected a number"),
            ({"since": "yesterday"}, "Since: expected a time in UTC"),
            ({"class": "odd"}, "Class: expected broken"),
            ({"country": "x" * 600}, "Country: expected something shorter"),
            ({"template": "a\0b"}, "Template: expected"),
            ({"contact": "<b>"}, "neither a phone number"),
        ],
    )
    def test_what_cannot_be_asked_is_explained_beside_the_form(self, admin_browser, three, query, words):
        page = admin_browser.see("/failures", status=400, **query)
        assert words in page
        assert found(page) == []

    def test_empty_fields_are_left_out_of_the_address(self, admin_browser):
        response = admin_browser.client.get("/failures?code=131026&contact=&template=&since=")
        assert (response.status_code, response.location) == (303, "/failures?code=131026")
        assert admin_browser.client.get("/failures?code=").location == "/failures"

    def test_each_filter_in_force_can_be_removed_alone(self, admin_browser, three):
        page = admin_browser.see("/failures", code="131053", template="offer")
        assert 'href="/failures?template=offer" title="Remove' in page
        assert 'href="/failures?code=131053" title="Remove' in page

    def test_pages_follow_each_other_and_keep_the_filters(self, admin_browser, deliver, now):
        failed = [status(f"wamid.{n}", "failed", now - timedelta(seconds=n), code=131026) for n in range(40)]
        deliver(body(*failed))
        first = admin_browser.see("/failures", code="131026")
        following = re.search(r'href="(/failures\?[^"]*)" rel="next"', first)[1].replace("&amp;", "&")
        second = admin_browser.see(following)
        assert found(first) + found(second) == [str(n) for n in range(40)]
        assert 'value="131026"' in second
        assert "Back to the first page" in second

    def test_an_invalid_cursor_is_refused(self, admin_browser):
        admin_browser.see("/failures", status=400, cursor="zzz")

    def test_hostile_text_is_only_text(self, admin_browser, deliver, now):
        told = {"biz_opaque_callback_data": json.dumps({"template": HOSTILE, "campaign": HOSTILE})}
        deliver(body(status("wamid.H<b>", "failed", now, code=131026, details=HOSTILE, **told)))
        page = admin_browser.see("/failures")
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page
        assert 'href="/messages/wamid.H%3Cb%3E"' in page
        assert HOSTILE not in admin_browser.see("/failures", status=400, contact=HOSTILE)
        assert HOSTILE not in admin_browser.see("/failures", text=HOSTILE)


class TestExport:
    def test_csv_and_ndjson_have_the_filters_of_the_page(self, viewer_browser, three):
        page = viewer_browser.see("/failures", template="offer")
        links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/failures/export[^"]*)"', page)]
        assert len(links) == 2
        answers = [viewer_browser.client.get(link) for link in links]
        rows = list(csv.DictReader(io.StringIO(answers[0].text)))
        assert [row["message_id"] for row in rows] == ["wamid.media"]
        assert [json.loads(line)["message_id"] for line in answers[1].text.splitlines()] == ["wamid.media"]
        assert "attachment" in answers[0].headers["Content-Disposition"]

    def test_an_export_of_nonsense_is_refused(self, viewer_browser):
        viewer_browser.see("/failures/export", status=400, code="abc")
        viewer_browser.see("/failures/export", status=400, contact="nobody")


class TestOneFailure:
    @pytest.fixture
    def failure(self, admin_browser, deliver, now):
        error = {
            "code": 131049,
            "title": HOSTILE,
            "error_data": {"details": "healthy ecosystem"},
            "odd": [None, 1],
        }
        deliver(
            body(
                status("wamid.F", "sent", now - timedelta(minutes=1)),
                status("wamid.F", "failed", now, errors=[error]),
            )
        )
        return re.search(r'href="(/failures/[^"?/]{20,})"', admin_browser.see("/failures"))[1]

    def test_it_tells_meaning_misreading_time_and_the_whole_error(self, admin_browser, failure, now):
        page = admin_browser.see(failure)
        assert "Often misread" in page
        assert "not before" in page
        assert f"{now + timedelta(hours=24):%Y-%m-%d %H:%M} UTC" in page
        assert "healthy ecosystem" in page
        assert "&#34;odd&#34;" in page
        assert NUMBER in page
        assert 'href="/messages/wamid.F"' in page
        assert 'href="/contacts?contact=%2B12025550117"' in page

    def test_hostile_errors_are_only_text(self, admin_browser, failure):
        assert HOSTILE not in admin_browser.see(failure)

    def test_the_support_bundle_is_downloaded_as_text_and_as_json(self, viewer_browser, failure):
        text = viewer_browser.client.get(f"{failure}/bundle?format=text")
        assert "Message id: wamid.F" in text.text
        assert re.fullmatch(
            r'attachment; filename="failure-[\d-]+\.txt"', text.headers["Content-Disposition"]
        )
        bundle = viewer_browser.client.get(f"{failure}/bundle?format=json")
        assert bundle.json["message_id"] == "wamid.F"
        assert ".json" in bundle.headers["Content-Disposition"]

    @pytest.mark.parametrize("path", ["/failures/zzz", "/failures/WzFd", "/failures/zzz/bundle"])
    def test_what_is_not_there_is_not_found(self, admin_browser, path):
        assert "There is no such failure" in admin_browser.see(path, status=404)


def test_without_a_session_the_page_redirects_to_the_sign_in_form(client):
    for path in ("/failures", "/failures/export", "/failures/x", "/failures/x/bundle"):
        assert client.get(path).status_code == 303


def test_a_viewer_sees_it_all_and_has_no_buttons_but_the_search(viewer_browser, three):
    assert main_of(viewer_browser.see("/failures")).count("<button") == 1
