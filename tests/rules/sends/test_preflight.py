"""The judgement of a message: whatever it holds it is judged, and what is certain comes before what is likely."""

import copy
import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.generated_messages import WRITER, generate, message, template, template_rows, texts
from webhook_app.rules.sends.message_format import contact_of
from webhook_app.rules.sends.preflight import judge
from webhook_app.rules.sends.preflight_facts import KnownFault, RecipientFacts, SendFacts, SendingNumber
from webhook_app.rules.sends.sent_template import category_of, template_name
from webhook_app.whatsapp.accounts.template_answers import read_template

NOW = datetime(2026, 11, 30, tzinfo=UTC)
NUMBER = "106000000000"
PERSON = RecipientFacts(verdict="send", window_open=True)
HELLO = message("text", {"body": "Hello"})
ODD = (
    "",
    "x",
    7,
    None,
    [],
    {},
    "x" * 30,
    "text",
    "image",
    ["a"],
    {"a": 1},
    True,
    "Body",
    " ",
    0,
    "\0",
    10**40,
)


def facts(minutes=0, status="CONNECTED", **more):
    at = NOW - timedelta(minutes=minutes)
    by_name = {}
    for row in template_rows():
        by_name.setdefault(row["name"], []).append(read_template(row, "1"))
    number = SendingNumber(
        phone_number_id=NUMBER, waba_id="1", digits="49301234567", status=status, read_at=at
    )
    return SendFacts(number=number, templates=by_name, templates_read_at=at, **more)


def judged(given, known=None, person=PERSON, number=NUMBER):
    return judge(given, known or facts(), person, NOW, phone_number_id=number)


def severities(given, known):
    return {each.code: (each.severity, each.expected) for each in judged(given, known).problems}


def _paths(value, before=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _mutated(chance, given):
    changed = copy.deepcopy(given)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not (paths := list(_paths(changed))):
            return changed
        *path, last = chance.choice(paths)
        inner = changed
        for key in path:
            inner = inner[key]
        if chance.random() < 0.3:
            del inner[last]
        else:
            inner[last] = chance.choice(ODD)
    return changed


def test_any_message_is_judged():
    chance, known = random.Random(1), facts()
    for what, _, given in generate(1, 1500):
        odd = _mutated(chance, given)
        found = judged(odd, known)
        assert len(found.problems) <= 20, what
        assert (contact_of(odd), template_name(odd)) != (None, None)
        category_of(odd, known)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (template("paused"), 132015), (template("rejected"), 132001), (template("order", texts("body", "a")), 132000),
    ],
)  # fmt: skip
def test_a_template_that_was_read_hours_ago_refuses_nothing(given, code):
    assert severities(given, facts())[code] == ("refuse", True)
    assert severities(given, facts(minutes=121))[code] == ("warn", True)


@pytest.mark.parametrize(("status", "code"), [("DISCONNECTED", 133010), ("BANNED", 131031)])
def test_a_number_that_cannot_send_refuses_while_its_state_is_fresh(status, code):
    assert severities(HELLO, facts(status=status))[code] == ("refuse", True)
    assert severities(HELLO, facts(minutes=121, status=status))[code] == ("warn", True)
    assert severities(HELLO, facts(status="RATE_LIMITED"))[130429] == ("warn", False)


def test_a_restricted_account_refuses_while_its_state_is_fresh():
    def fault(minutes, kind="account"):
        at = NOW - timedelta(minutes=minutes)
        return KnownFault(kind=kind, subject="account", status="broken", message="DISABLED.", fix="Appeal.",
                          code=131031, checked_at=at)  # fmt: skip

    assert severities(HELLO, facts(faults=[fault(5)]))[131031] == ("refuse", True)
    assert severities(HELLO, facts(faults=[fault(200)]))[131031] == ("warn", True)
    assert severities(HELLO, facts(faults=[fault(5, "health_waba")]))[131031] == ("warn", False)


def test_what_is_certain_is_expected_before_what_is_likely():
    closed = RecipientFacts(verdict="send")
    given = message("text", {"body": ""}, to="4915187654321")
    assert [each.code for each in judged(given, person=closed).problems] == [100, 131047]
    assert judged(given, person=closed).expected_code == 100


def test_a_suppressed_person_is_refused_although_meta_would_take_the_message():
    refused = judged(
        HELLO, person=RecipientFacts(verdict="suppressed", why="Opted out.", code=131050, window_open=True)
    )
    assert (refused.is_refused, refused.expected_code) == (True, None)
    assert judged(HELLO, person=RecipientFacts(verdict="wait", why="Paused.", window_open=True)).is_refused


def test_a_free_form_message_in_the_conversation_of_another_app_is_doubted_and_a_template_is_not():
    owned = RecipientFacts(verdict="send", window_open=True, owned_by="another app (escalation)")
    (problem,) = judged(HELLO, person=owned).problems
    assert (problem.code, problem.severity, problem.expected) == (131070, "warn", True)
    assert "another app (escalation)" in problem.message
    assert judged(template("plain"), person=owned).problems == []


def test_an_opt_in_is_not_needed_inside_the_window():
    closed = RecipientFacts(verdict="send", has_opted_in=False)
    opened = RecipientFacts(verdict="send", has_opted_in=False, window_open=True)
    assert judged(template("plain"), person=closed).is_refused
    assert not judged(template("plain"), person=opened).is_refused


@pytest.mark.parametrize("number", ["", "+49301234567", " 106000000000", "106000000000\n", "me", "١٠٦"])
def test_an_id_that_is_no_id_is_refused(number):
    assert judged(HELLO, number=number).expected_code == 100


def test_a_number_that_the_graph_api_does_not_list_is_doubted():
    assert judged(HELLO, SendFacts()).expected_code is None
    assert judged(HELLO, SendFacts(numbers_are_listed=True)).expected_code == 100
    assert not judged(HELLO, SendFacts(numbers_are_listed=True)).is_refused


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (WRITER, []), (f"+{WRITER}", []), ("+49 (151) 123-456.78", []), ("0151 12345678", [(131026, False)]),
        ("tel:+4915112345678", [(100, True)]), ("anna", [(100, True)]), ("12345", [(100, True)]),
        ("1" * 21, [(100, True)]),
    ],
)  # fmt: skip
def test_spellings_of_a_number_are_never_refused(to, expected):
    found = judged(HELLO | {"to": to})
    assert [(each.code, each.expected) for each in found.problems] == expected
    assert not found.is_refused


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}, None),
        ({"messaging_product": "whatsapp", "status": "read"}, 100),
        ({"status": "read", "message_id": "wamid.A"}, 100),
        (HELLO | {"template": {}, "type": "template"}, 100),
        (HELLO | {"recipient_type": "group", "to": "a group"}, None),
    ],
)
def test_receipts_groups_and_empty_templates(given, code):
    assert judged(given, person=None).expected_code == code


@pytest.mark.parametrize(
    ("to", "is_warned"), [("12025550117", True), ("14165550117", False), (WRITER, False)]
)
def test_marketing_to_the_united_states_is_a_warning(to, is_warned):
    given = template("coupon", to=to)
    assert (131049 in {each.code for each in judged(given).problems}) == is_warned
