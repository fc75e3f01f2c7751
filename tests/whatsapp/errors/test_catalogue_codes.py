"""The common codes: fault domain, retry, effect on the contact, and a part of the common mistake ('' for none)."""

import pytest

from webhook_app.whatsapp.errors.catalogue import catalogue, explain

UNREACHABLE, WITHHELD = {"recipient"}, {"consent"}


@pytest.mark.parametrize(
    ("code", "domain", "retry", "effect", "misread"),
    [
        (0, "auth", "after_fix", "none", "token is invalid"),
        (1, "platform", "once", "none", ""),
        (2, "platform", "backoff", "none", ""),
        (3, "auth", "after_fix", "none", ""),
        (4, "rate_limit", "backoff", "none", ""),
        (10, "auth", "after_fix", "none", ""),
        (17, "rate_limit", "backoff", "none", ""),
        (32, "rate_limit", "backoff", "none", "80007"),
        (33, "sender_config", "after_fix", "none", ""),
        (100, "sender_config", "after_fix", "none", "2500"),
        (190, "auth", "after_fix", "none", "password"),
        (200, "auth", "after_fix", "none", ""),
        (201, "auth", "after_fix", "none", ""),
        (250, "auth", "after_fix", "none", ""),
        (299, "auth", "after_fix", "none", ""),
        (368, "policy", "after_window", "none", "no end"),
        (613, "rate_limit", "backoff", "none", ""),
        (80007, "rate_limit", "backoff", "none", ""),
        (130403, "recipient", "after_fix", "hard", ""),
        (130429, "rate_limit", "backoff", "none", ""),
        (130472, "consent", "no", "marketing_only", ""),
        (131000, "platform", "once", "none", ""),
        (131005, "auth", "after_fix", "none", ""),
        (131008, "sender_config", "after_fix", "none", "required field"),
        (131009, "sender_config", "after_fix", "none", ""),
        (131016, "platform", "backoff", "none", ""),
        (131020, "groups", "after_fix", "none", ""),
        (131026, "recipient", "no", "soft", "A block is not on that list"),
        (131030, "sender_config", "after_fix", "none", "allowed recipients"),
        (131036, "recipient", "no", "none", ""),
        (131042, "account", "after_fix", "none", ""),
        (131045, "registration", "after_fix", "none", "registration"),
        (131047, "sender_config", "after_fix", "none", "24-hour window"),
        (131048, "policy", "after_window", "none", ""),
        (131049, "consent", "after_window", "marketing_only", "withheld"),
        (131050, "consent", "no", "marketing_only", ""),
        (131051, "sender_config", "after_fix", "none", ""),
        (131052, "media", "no", "none", "media sent by the user"),
        (131053, "media", "after_fix", "none", "your own media"),
        (131056, "rate_limit", "backoff", "none", "that pair only"),
        (131063, "sender_config", "after_fix", "none", "130497"),
        (132000, "template", "after_fix", "none", ""),
        (132001, "template", "after_fix", "none", ""),
        (132007, "template", "after_fix", "none", ""),
        (132012, "template", "after_fix", "none", "132015"),
        (132015, "template", "after_fix", "none", "132012"),
        (133004, "platform", "backoff", "none", "131016"),
        (133010, "registration", "after_fix", "none", ""),
        (134011, "account", "after_fix", "none", ""),
        (135000, "sender_config", "after_fix", "none", "not at fault"),
        (138000, "calling", "after_fix", "none", ""),
        (470, "sender_config", "after_fix", "none", ""),
        (471, "policy", "after_window", "none", ""),
        (1026, "recipient", "no", "none", ""),
    ],
)
def test_a_known_code_has_the_right_classification_and_common_mistake(code, domain, retry, effect, misread):
    entry = explain(code)
    assert (entry.domain, entry.retry, entry.contact_effect) == (domain, retry, effect)
    expected = "unreachable" if domain in UNREACHABLE else "withheld" if domain in WITHHELD else "broken"
    assert entry.failure_class == expected
    assert misread in entry.mistaken_for
    assert bool(misread) == bool(entry.mistaken_for)


@pytest.mark.parametrize(
    ("code", "subcode", "domain", "retry", "attention"),
    [
        (190, 460, "auth", "after_fix", "page"),
        (190, 463, "auth", "after_fix", "page"),
        (190, 467, "auth", "after_fix", "page"),
        (100, 33, "sender_config", "after_fix", "page"),
        (4, 2446079, "rate_limit", "backoff", "watch"),
    ],
)
def test_a_subcode_of_the_send_call_has_its_own_entry(code, subcode, domain, retry, attention):
    entry = explain(code, subcode)
    assert (entry.code, entry.subcode) == (code, subcode)
    assert (entry.domain, entry.retry, entry.attention) == (domain, retry, attention)
    assert entry.contact_effect == "none"
    assert entry.summary != explain(code).summary


@pytest.mark.parametrize("code", [190, 4, 131042, 131031, 368])
def test_account_wide_failures_do_not_affect_contacts(code):
    assert explain(code).contact_effect == "none"


def test_these_codes_have_an_effect_on_the_contact_each_with_a_reason_and_no_other_has_one():
    with_effect = {entry.code: entry for entry in catalogue() if entry.contact_effect != "none"}
    assert {code: entry.contact_effect for code, entry in with_effect.items()} == {
        130403: "hard",
        131026: "soft",
        130472: "marketing_only",
        131049: "marketing_only",
        131050: "marketing_only",
    }
    assert all(entry.contact_reason and entry.code == entry.code_to for entry in with_effect.values())


def test_a_code_about_the_recipient_without_an_effect_says_why():
    about_people = {entry for entry in catalogue() if entry.domain in ("recipient", "consent")}
    assert all(entry.contact_reason for entry in about_people)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (137000, "hash"),  # the sender's stored hash is out of date
        (131203, "group"),  # adding to a group, not a message
        (131043, "off"),  # a phone that is off for long
        (131036, "device"),
        (1026, "kind of message"),
    ],
)
def test_codes_that_are_not_about_the_person_suppress_nobody_and_say_why(code, reason):
    assert explain(code).contact_effect == "none"
    assert reason in explain(code).contact_reason
