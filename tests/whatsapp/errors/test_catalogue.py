"""Every code has an explanation, and an invalid catalogue is rejected."""

import csv
import io
import re
from importlib import resources

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.errors.catalogue import (
    CODES_CSV,
    MISREAD_CSV,
    CatalogueError,
    catalogue,
    checked_on,
    explain,
    read_catalogue,
    sources,
)
from webhook_app.whatsapp.events import NO_CODE

PACKAGE = resources.files("webhook_app.whatsapp.errors")
CODES = (PACKAGE / CODES_CSV).read_text("utf-8")
MISREAD = (PACKAGE / MISREAD_CSV).read_text("utf-8")
HEADER = CODES.splitlines()[0]
NO_NOTES = "code,mistaken_for\n"
ROW = {
    "code": "131026",
    "subcode": "",
    "title": "Message Undeliverable",
    "http_status": "400",
    "surface": "both",
    "fault_domain": "recipient",
    "retry": "no",
    "contact_effect": "soft",
    "contact_reason": "It concerns the person.",
    "attention": "none",
    "summary": "It could not be delivered.",
    "action": "Do not resend.",
    "confidence": "high",
    "sources": "one; two",
}


def codes_csv(*rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER.split(","))
    writer.writeheader()
    writer.writerows(ROW | row for row in rows)
    return text.getvalue()


@pytest.mark.parametrize(
    ("code", "subcode", "found", "found_subcode", "title"),
    [
        (190, 463, 190, 463, "Expired"),
        (190, None, 190, None, "Access token has expired"),
        (190, 987654, 190, None, "Access token has expired"),
        (100, 33, 100, 33, "Object does not exist or is not visible"),
        (4, 2446079, 4, 2446079, "Application request limit reached"),
        (200, None, 200, None, "Permissions error"),
        (200, 1, 200, None, "Permissions error"),
        (201, None, 200, None, "API Permission"),
        (299, 5, 200, None, "API Permission"),
    ],
)
def test_lookup_prefers_subcode_to_code_and_code_to_range(code, subcode, found, found_subcode, title):
    entry = explain(code, subcode)
    assert (entry.code, entry.subcode, entry.title) == (found, found_subcode, title)
    assert entry.code <= code <= entry.code_to


@pytest.mark.parametrize("code", [300, 199, 5, 131999, -3, 2**63, -(10**40)])
def test_an_unknown_code_never_counts_against_a_contact(code):
    entry = explain(code, 33)
    assert entry.title == f"Unknown code {code}"
    assert (entry.domain, entry.failure_class, entry.contact_effect) == ("other", "broken", "none")
    assert (entry.attention, entry.retry, entry.official_title) == ("watch", "no", False)


def test_a_failure_without_code_has_an_explanation():
    entry = explain(NO_CODE)
    assert entry.title == "No error code"
    assert (entry.code, entry.domain, entry.contact_effect) == (NO_CODE, "other", "none")


@given(st.integers(), st.one_of(st.none(), st.integers()))
def test_every_code_has_an_explanation(code, subcode):
    entry = explain(code, subcode)
    assert entry.code <= code <= entry.code_to
    assert entry.title


def test_the_catalogue_is_complete_and_every_entry_can_be_looked_up():
    entries = catalogue()
    assert len(entries) == len(list(csv.reader(io.StringIO(CODES)))) - 1 == 207
    assert all(explain(e.code, e.subcode) is e for e in entries if e.code == e.code_to)
    assert all(e.title and e.summary and e.action and e.sources for e in entries)
    assert [e.code for e in entries if e.contact_effect == "hard"] == [130403]
    assert {e.domain for e in entries if e.failure_class == "withheld"} == {"consent"}
    assert {e.domain for e in entries if e.failure_class == "unreachable"} == {"recipient"}


def test_entries_can_be_written_as_json_and_read_back():
    assert all(msgspec.json.decode(msgspec.json.encode(e), type=type(e)) == e for e in catalogue())


def test_our_own_titles_are_marked_and_have_no_brackets():
    ours = {e.code: e.title for e in catalogue() if not e.official_title}
    assert ours[131050] == "User stopped marketing messages"
    assert ours[141002] == "Template not approved"
    assert explain(131026).official_title
    assert not any("[" in e.title or "]" in e.title for e in catalogue())
    assert all(len(title) <= 72 for title in ours.values())


def test_codes_without_a_known_mistake_have_no_note():
    assert explain(131016).mistaken_for == ""
    assert explain(190, 463).mistaken_for == ""
    assert explain(250).mistaken_for == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"code": "many"}, "many"),
        ({"code": "300-200"}, "a range must ascend"),
        ({"code": "200-200"}, "a range must ascend"),
        ({"code": "200-299", "subcode": "3"}, "have no subcode"),
        ({"subcode": "x"}, "subcode"),
        ({"http_status": "9000"}, "http_status"),
        ({"fault_domain": "weather"}, "weather"),
        ({"retry": "always"}, "always"),
        ({"contact_effect": "harsh"}, "harsh"),
        ({"contact_reason": ""}, "an effect on the contact needs a reason"),
        ({"contact_effect": "none", "contact_reason": ""}, "an effect on the contact needs a reason"),
        ({"attention": "Page"}, "Page"),
        ({"surface": "phone"}, "phone"),
        ({"confidence": ""}, "confidence"),
        ({"title": ""}, "title"),
        ({"summary": ""}, "summary"),
        ({"action": ""}, "action"),
        ({"code": "7"}, "duplicate"),
    ],
)
def test_an_invalid_row_is_reported_with_its_line_and_code(changes, fault):
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(codes_csv({"code": "7"}, changes), NO_NOTES)
    assert str(caught.value).startswith(f"error_codes.csv:3: code '{changes.get('code', '131026')}'")
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "misread", "fault"),
    [
        ("", NO_NOTES, "error_codes.csv:1: the columns must be code, subcode"),
        ("code,title\n1,One\n", NO_NOTES, "error_codes.csv:1: the columns must be"),
        (HEADER + "\n1,,One\n", NO_NOTES, "error_codes.csv:2: 3 fields instead of 14"),
        (codes_csv({}) + '"', NO_NOTES, "error_codes.csv:3: unexpected end of data"),
        (codes_csv({"code": "200-299"}, {"code": "299-300"}), NO_NOTES, "two ranges contain 299"),
        (codes_csv({}), "code\n", "error_codes_misread.csv:1: the columns must be"),
        (codes_csv({}), NO_NOTES + "x,Words.\n", "error_codes_misread.csv:2: code 'x'"),
        (codes_csv({}), NO_NOTES + "131026,\n", "error_codes_misread.csv:2: code '131026'"),
        (codes_csv({}), NO_NOTES + "131026,A.\n131026,B.\n", "error_codes_misread.csv:3: code '131026'"),
        (
            codes_csv({}),
            NO_NOTES + "131027,Words.\n",
            "error_codes_misread.csv: not in error_codes.csv: [131027]",
        ),
    ],
)
def test_an_invalid_file_is_rejected_with_the_location(codes, misread, fault):
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(codes, misread)
    assert fault in str(caught.value)


def test_a_valid_row_becomes_an_entry():
    (entry,) = read_catalogue(
        codes_csv({"title": "[Not delivered]", "subcode": "7", "http_status": ""}), NO_NOTES
    )
    assert (entry.code, entry.code_to, entry.subcode, entry.http_status) == (131026, 131026, 7, None)
    assert (entry.title, entry.official_title) == ("Not delivered", False)
    assert (entry.sources, entry.failure_class) == (("one", "two"), "unreachable")


def test_the_sources_file_describes_exactly_the_sources_used():
    named = {source for entry in catalogue() for source in entry.sources}
    assert named == set(sources())
    assert all(sources().values())


def test_an_entry_is_as_current_as_the_newest_page_of_meta_that_lists_it():
    days = {entry.sources: checked_on(entry) for entry in catalogue()}
    assert days["meta-2026-09", "meta-2025-11"] == "2026-09-11"
    assert days["meta-2025-11", "froggy1014-sdk"] == "2025-11-14"
    assert days["field-reports",] == ""
    assert all(re.fullmatch(r"(20\d\d-\d\d(-\d\d)?)?", day) for day in days.values())


def test_the_package_contains_every_note():
    assert len(MISREAD.splitlines()) == 1 + sum(1 for entry in catalogue() if entry.mistaken_for)
