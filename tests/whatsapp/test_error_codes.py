"""Every code is explained, what is known of the usual ones holds, and a damaged catalogue is refused."""

import csv
import io
from importlib import resources

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.error_codes import (
    CODES_CSV,
    MISREAD_CSV,
    CatalogueError,
    catalogue,
    explain,
    read_catalogue,
    retry_advice,
)
from webhook_app.whatsapp.events import NO_CODE

PACKAGE = resources.files("webhook_app.whatsapp")
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
    ("code", "domain", "retry", "effect", "failure_class"),
    [
        (0, "auth", "after_fix", "none", "broken"),
        (1, "platform", "once", "none", "broken"),
        (2, "platform", "backoff", "none", "broken"),
        (3, "auth", "after_fix", "none", "broken"),
        (4, "rate_limit", "backoff", "none", "broken"),
        (10, "auth", "after_fix", "none", "broken"),
        (17, "rate_limit", "backoff", "none", "broken"),
        (32, "rate_limit", "backoff", "none", "broken"),
        (33, "sender_config", "after_fix", "none", "broken"),
        (100, "sender_config", "after_fix", "none", "broken"),
        (190, "auth", "after_fix", "none", "broken"),
        (200, "auth", "after_fix", "none", "broken"),
        (250, "auth", "after_fix", "none", "broken"),
        (368, "policy", "after_window", "none", "broken"),
        (130403, "recipient", "after_fix", "hard", "unreachable"),
        (130472, "consent", "no", "marketing_only", "withheld"),
        (131000, "platform", "once", "none", "broken"),
        (131005, "auth", "after_fix", "none", "broken"),
        (131008, "sender_config", "after_fix", "none", "broken"),
        (131009, "sender_config", "after_fix", "none", "broken"),
        (131016, "platform", "backoff", "none", "broken"),
        (131020, "groups", "after_fix", "none", "broken"),
        (131026, "recipient", "no", "soft", "unreachable"),
        (131030, "sender_config", "after_fix", "none", "broken"),
        (131047, "sender_config", "after_fix", "none", "broken"),
        (131049, "consent", "after_window", "marketing_only", "withheld"),
        (131050, "consent", "no", "marketing_only", "withheld"),
        (131051, "sender_config", "after_fix", "none", "broken"),
        (131052, "media", "no", "none", "broken"),
        (131053, "media", "after_fix", "none", "broken"),
        (131056, "rate_limit", "backoff", "none", "broken"),
        (132000, "template", "after_fix", "none", "broken"),
        (132001, "template", "after_fix", "none", "broken"),
        (132007, "template", "after_fix", "none", "broken"),
        (133004, "platform", "backoff", "none", "broken"),
        (133010, "registration", "after_fix", "none", "broken"),
        (134011, "account", "after_fix", "none", "broken"),
        (135000, "sender_config", "after_fix", "none", "broken"),
        (138000, "calling", "after_fix", "none", "broken"),
    ],
)
def test_the_usual_codes_are_judged_right(code, domain, retry, effect, failure_class):
    entry = explain(code)
    assert (entry.domain, entry.retry, entry.contact_effect) == (domain, retry, effect)
    assert entry.failure_class == failure_class


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
def test_subcode_goes_before_code_and_code_before_range(code, subcode, found, found_subcode, title):
    entry = explain(code, subcode)
    assert (entry.code, entry.subcode, entry.title) == (found, found_subcode, title)
    assert entry.code <= code <= entry.code_to


@pytest.mark.parametrize("code", [300, 199, 5, 131999, -2, 2**63, -(10**40)])
def test_an_unknown_code_never_counts_against_a_contact(code):
    entry = explain(code, 33)
    assert entry.title == f"Unknown code {code}"
    assert (entry.domain, entry.failure_class, entry.contact_effect) == ("other", "broken", "none")
    assert (entry.attention, entry.retry, entry.official_title) == ("watch", "no", False)


def test_a_failure_without_code_is_explained_as_such():
    entry = explain(NO_CODE)
    assert entry.title == "No code given"
    assert (entry.code, entry.domain, entry.contact_effect) == (NO_CODE, "other", "none")


@given(st.integers(), st.one_of(st.none(), st.integers()))
def test_every_code_has_an_explanation(code, subcode):
    entry = explain(code, subcode)
    assert entry.code <= code <= entry.code_to
    assert entry.title
    assert retry_advice(entry).words


def test_the_whole_catalogue_is_there_and_each_entry_explains_itself():
    entries = catalogue()
    assert len(entries) == len(list(csv.reader(io.StringIO(CODES)))) - 1 == 198
    assert all(explain(e.code, e.subcode) is e for e in entries if e.code == e.code_to)
    assert all(e.title and e.summary and e.action and e.sources for e in entries)
    assert [e.code for e in entries if e.contact_effect == "hard"] == [130403]
    assert {e.domain for e in entries if e.failure_class == "withheld"} == {"consent"}
    assert {e.domain for e in entries if e.failure_class == "unreachable"} == {"recipient"}


def test_entries_can_be_written_as_json_and_read_back():
    assert all(msgspec.json.decode(msgspec.json.encode(e), type=type(e)) == e for e in catalogue())


def test_titles_of_our_own_are_marked_and_carry_no_brackets():
    ours = {e.code: e.title for e in catalogue() if not e.official_title}
    assert ours[131050] == "User stopped marketing messages"
    assert ours[141002] == "Health status says the template is not approved"
    assert explain(131026).official_title
    assert not any("[" in e.title or "]" in e.title for e in catalogue())
    assert all(len(title) <= 72 for title in ours.values())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "token is dead"),
        (32, "80007"),
        (190, "password"),
        (368, "no end"),
        (131008, "mandatory field"),
        (131026, "a block is not among them"),
        (131030, "allowed recipients"),
        (131045, "registration"),
        (131047, "24-hour window"),
        (131049, "withheld"),
        (131052, "media the user sent"),
        (131053, "our own media"),
        (131056, "that pair only"),
        (131063, "130497"),
        (132012, "132015"),
        (132015, "132012"),
        (133004, "131016"),
        (135000, "not at fault"),
    ],
)
def test_codes_that_other_lists_get_wrong_say_so(code, words):
    assert words in explain(code).mistaken_for


def test_codes_that_nobody_mistakes_say_nothing():
    assert explain(131016).mistaken_for == ""
    assert explain(190, 463).mistaken_for == ""
    assert explain(250).mistaken_for == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"code": "many"}, "many"),
        ({"code": "300-200"}, "a range runs upwards"),
        ({"code": "200-200"}, "a range runs upwards"),
        ({"code": "200-299", "subcode": "3"}, "has no subcode"),
        ({"subcode": "x"}, "subcode"),
        ({"http_status": "9000"}, "http_status"),
        ({"fault_domain": "weather"}, "weather"),
        ({"retry": "always"}, "always"),
        ({"contact_effect": "harsh"}, "harsh"),
        ({"attention": "Page"}, "Page"),
        ({"surface": "phone"}, "phone"),
        ({"confidence": ""}, "confidence"),
        ({"summary": ""}, "title"),
        ({"summary": "", "title": "[Ours]"}, "summary"),
        ({"action": ""}, "action"),
        ({"code": "7"}, "given twice"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(changes, fault):
    changes = {"title": ""} | changes
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(codes_csv({"code": "7"}, changes), NO_NOTES)
    assert str(caught.value).startswith(f"error_codes.csv:3: code '{changes.get('code', '131026')}'")
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "misread", "fault"),
    [
        ("", NO_NOTES, "error_codes.csv:1: the columns must be code, subcode"),
        ("code,title\n1,One\n", NO_NOTES, "error_codes.csv:1: the columns must be"),
        (HEADER + "\n1,,One\n", NO_NOTES, "error_codes.csv:2: 3 fields instead of 13"),
        (codes_csv({}) + '"', NO_NOTES, "error_codes.csv:3: unexpected end of data"),
        (codes_csv({"code": "200-299"}, {"code": "299-300"}), NO_NOTES, "two ranges hold 299"),
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
def test_a_damaged_file_is_refused_with_its_place(codes, misread, fault):
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(codes, misread)
    assert fault in str(caught.value)


def test_a_good_row_becomes_an_entry():
    (entry,) = read_catalogue(codes_csv({"title": "", "subcode": "7", "http_status": ""}), NO_NOTES)
    assert (entry.code, entry.code_to, entry.subcode, entry.http_status) == (131026, 131026, 7, None)
    assert (entry.title, entry.official_title) == ("It could not be delivered", False)
    assert (entry.sources, entry.failure_class) == (("one", "two"), "unreachable")


@pytest.mark.parametrize(
    ("code", "tries", "waits", "after", "final"),
    [
        (2, 0, (1, 2, 4, 8, 16, 32, 64), None, False),
        (2, 3, (8, 16, 32, 64), None, False),
        (2, 6, (64,), None, False),
        (2, 7, (), None, True),
        (2, 100, (), None, True),
        (2, -1, (1, 2, 4, 8, 16, 32, 64), None, False),
        (131000, 0, (), None, False),
        (131000, 1, (), None, True),
        (131026, 0, (), None, True),
        (131047, 0, (), None, False),
        (131047, 9, (), None, False),
        (131049, 0, (), 86400, False),
        (133015, 0, (), 300, False),
        (131048, 0, (), None, False),
        (4242, 0, (), None, True),
    ],
)
def test_retry_advice_is_concrete(code, tries, waits, after, final):
    advice = retry_advice(explain(code), tries)
    assert advice.kind == explain(code).retry
    assert (advice.waits_seconds, advice.after_seconds, advice.final) == (waits, after, final)


@pytest.mark.parametrize(
    ("code", "tries", "words"),
    [
        (2, 4, "after 16, 32, 64 s, each with jitter"),
        (2, 7, "used up"),
        (131000, 0, "once more"),
        (131000, 1, "used up"),
        (131026, 0, "Do not send it again"),
        (131047, 0, "only when the cause is mended"),
        (131049, 0, "after 24 h"),
        (133015, 0, "after 5 min"),
        (131048, 0, "publishes no waiting time"),
    ],
)
def test_retry_advice_says_in_words_what_to_do(code, tries, words):
    assert words in retry_advice(explain(code), tries).words


def test_the_notes_file_is_part_of_the_package():
    assert len(MISREAD.splitlines()) == 1 + sum(1 for entry in catalogue() if entry.mistaken_for)
