"""Parameters of a template: counted per component as Meta counts, refused only where the template is surely known."""

from datetime import UTC, datetime

import pytest

from tests.support.generated_messages import button, named, texts
from webhook_app.rules.sends.template_parameters import judge_parameters
from webhook_app.whatsapp.accounts.template_answers import read_template

NOW = datetime(2026, 11, 30, tzinfo=UTC)
LATER_MS = int(NOW.timestamp() * 1000) + 1
IMAGE = {"type": "header", "parameters": [{"type": "image", "image": {"id": "7"}}]}
CARD = {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "A"}]}
OFFER = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Now", "has_expiration": True}}


def found(components, *given, certain=True, **row):
    template = read_template({"name": "a", "language": "de", "components": list(components), **row}, "1")
    problems = judge_parameters({"components": list(given)}, template, NOW, certain=certain)
    return [(each.code, each.field, each.severity, each.expected) for each in problems]


def body(text):
    return {"type": "BODY", "text": text}


def header(kind):
    return {"type": "HEADER", "format": kind}


def buttons(*kinds):
    return {
        "type": "BUTTONS",
        "buttons": [{"type": kind, "text": "B", "url": "https://a/{{1}}"} for kind in kinds],
    }


def offer(ends):
    given = [{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": ends}}]
    return {"type": "limited_time_offer", "parameters": given}


def carousel(cards):
    return {"type": "carousel", "cards": [{"card_index": n, "components": []} for n in range(cards)]}


@pytest.mark.parametrize(
    ("components", "given"),
    [
        ([body("{{1}} {{1}}")], [texts("body", "a")]),
        ([body("{{b}} {{a}}")], [named(a="1", b="2")]),
        ([header("IMAGE"), body("Hi")], [IMAGE]),
        ([body("Hi"), buttons("QUICK_REPLY", "URL")], [button(1, "7")]),
        ([body("Hi"), buttons("URL")], [button("0", "7")]),
        ([body("Hi"), buttons("QUICK_REPLY", "PHONE_NUMBER", "FLOW")], []),
        ([{"type": "BODY", "add_security_recommendation": True}, buttons("OTP")], [texts("body", "1"), button(0, "1")]),
        ([{"type": "CAROUSEL", "cards": [CARD, CARD]}], [carousel(2)]),
        ([OFFER, body("Hi")], [offer(LATER_MS)]),
        ([header("LOCATION")], [{"type": "header", "parameters": [{"type": "location", "location": {}}]}]),
        ([body("{{1}}")], [{"type": "body", "parameters": [{"type": "currency", "currency": {"code": "EUR"}}]}]),
    ],
)  # fmt: skip
def test_right_parameters_have_no_problem(components, given):
    assert found(components, *given) == []


@pytest.mark.parametrize(
    ("components", "given", "code", "field"),
    [
        ([body("{{1}} {{2}}")], [texts("body", "a")], 132000, "template.components[0]"),
        ([body("{{1}}")], [], 132000, "template.components"),
        ([header("VIDEO"), body("Hi")], [IMAGE], 132012, "template.components[0]"),
        ([header("IMAGE")], [{"type": "header", "parameters": [{"type": "image", "image": {}}]}], 132012,
         "template.components[0]"),
        ([body("{{a}}")], [texts("body", "a")], 100, "template.components[0]"),
        ([buttons("COPY_CODE")], [button(0, "", "copy_code")], 131008, "template.components[0]"),
        ([buttons("OTP")], [button(1, "1")], 131008, "template.components"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused_if_the_template_is_surely_known(components, given, code, field):
    assert found(components, *given) == [(code, field, "refuse", True)]
    assert found(components, *given, certain=False) == [(code, field, "warn", True)]


@pytest.mark.parametrize(
    ("components", "given", "code", "expected"),
    [
        ([body("{{a}}")], [named(b="1")], 132012, True),
        ([body("{{1}}")], [named(a="1")], 132012, True),
        ([header("LOCATION")], [], 132012, True),
        ([header("IMAGE")], [IMAGE, texts("body", "a")], 132000, True),
        ([body("{{1}}")], [texts("body", "x" * 1025)], 132005, True),
        ([{"type": "CAROUSEL", "cards": [CARD, CARD]}], [carousel(3)], 132012, True),
        ([buttons("COPY_CODE")], [button(0, "x" * 21, "copy_code")], 131009, True),
        ([buttons("COPY_CODE")], [button(0, "x" * 16, "copy_code")], 131009, False),
        ([OFFER], [], 131008, True),
        ([OFFER], [offer(LATER_MS // 1000)], 131009, False),
        ([OFFER], [offer(LATER_MS - 10)], 131009, False),
    ],
)  # fmt: skip
def test_what_meta_s_pages_leave_open_only_warns(components, given, code, expected):
    assert [(c, s, e) for c, _, s, e in found(components, *given)] == [(code, "warn", expected)]
