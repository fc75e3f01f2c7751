"""Judges a message before it is sent, from what is known, as Meta would answer it. No call, no clock.

It refuses only what Meta certainly refuses, or what must not be sent. What may be out of date, or is unknown, warns.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any

from msgspec import Struct

from webhook_app.rules.sends.message_format import (
    contact_of,
    is_receipt,
    judge_format,
    judge_receipt,
    type_of,
)
from webhook_app.rules.sends.preflight_facts import (
    MediaFile,
    Problem,
    RecipientFacts,
    SendFacts,
    forbidden,
    is_fresh,
    likely,
    refusal,
    warning,
)
from webhook_app.rules.sends.sent_template import judge_template
from webhook_app.whatsapp.people.contacts import user_key

NEEDS_TEMPLATE = 131047
_OWNED_BY_ANOTHER = 131070
_HELPED_BY_A_TEMPLATE = (NEEDS_TEMPLATE, 132001, 132015, 132016)
_NUMBER_CODES = {
    **dict.fromkeys(("PENDING", "UNVERIFIED", "DISCONNECTED", "DELETED", "MIGRATED"), 133010),
    **dict.fromkeys(("BANNED", "RESTRICTED"), 131031),
}
_MOST_PROBLEMS = 20
_FEWEST_DIGITS, _MOST_DIGITS = 7, 20
_ACCOUNT_FAULTS = ("account", "review")
_WHATSAPP_ID = re.compile(r"[0-9]{1,32}", re.ASCII)
_SEPARATORS = re.compile(r"[\s().\-/]+")


class Judged(Struct, frozen=True, kw_only=True):
    """The judgement of one message. `expected_code`: what Meta probably answers; None: that it accepts."""

    problems: Sequence[Problem]
    fallbacks: Sequence[tuple[str, str]]
    """Templates that could be sent instead: name and language."""

    @property
    def is_refused(self) -> bool:
        return any(each.severity == "refuse" for each in self.problems)

    @property
    def expected_code(self) -> int | None:
        expected = [each for each in self.problems if each.expected]
        expected.sort(key=lambda each: each.severity != "refuse")
        return expected[0].code if expected else None


def judge(
    message: Mapping[str, Any],
    facts: SendFacts,
    recipient: RecipientFacts | None,
    now: datetime,
    *,
    phone_number_id: str,
    file: MediaFile | None = None,
) -> Judged:
    """Judge one message. `recipient`: None for a group, or without a recipient."""
    if is_receipt(message):
        receipt = [*_judge_sender_id(phone_number_id, facts), *judge_receipt(message)]
        return Judged(problems=receipt, fallbacks=())
    found = chain(
        _judge_sender_id(phone_number_id, facts),
        _judge_person(recipient) if recipient else (),
        judge_format(message, file),
        _judge_recipient(message, facts),
        _judge_sender(facts, now),
        judge_template(message, facts, now),
        _judge_window(message, recipient) if recipient else (),
        _judge_owner(message, recipient) if recipient else (),
        _judge_limits(facts),
    )
    problems = list(islice(found, _MOST_PROBLEMS))
    helps = any(each.code in _HELPED_BY_A_TEMPLATE for each in problems)
    return Judged(problems=problems, fallbacks=facts.fallbacks if helps else ())


def _judge_sender_id(given: str, facts: SendFacts) -> Iterator[Problem]:
    where, fix = "phone_number_id", "Use the phone_number_id: GET /v1/numbers lists them."
    if not _WHATSAPP_ID.fullmatch(given):
        said = "This is no id of a business number: an id has digits only."
        yield refusal(100, where, said, fix)
    elif facts.other_id:
        yield refusal(100, where, f"This is the id of the {facts.other_id}, not of a business number.", fix)
    elif facts.number is None:
        said = "This business number is not known here: no webhook and no reading of the Graph API named it."
        yield (likely if facts.numbers_are_listed else warning)(100, where, said, fix)


def _judge_sender(facts: SendFacts, now: datetime) -> Iterator[Problem]:
    number = facts.number
    if number and (code := _NUMBER_CODES.get(number.status)):
        said = f"The business number is {number.status}."
        fix = "Register the number again." if code == 133010 else "Business Support Home shows the reason."
        yield (refusal if is_fresh(number.read_at, now) else likely)(code, "phone_number_id", said, fix)
    if number and number.status == "RATE_LIMITED":
        yield warning(130429, "phone_number_id", "The business number is RATE_LIMITED.", "Send more slowly.")
    for fault in facts.faults:
        where = "phone_number_id" if fault.subject == "number" else fault.subject
        if fault.subject == "account" and fault.kind in _ACCOUNT_FAULTS and fault.status == "broken":
            yield (refusal if is_fresh(fault.checked_at, now) else likely)(
                fault.code, where, fault.message, fault.fix
            )
        elif fault.kind != "marketing":
            yield warning(fault.code if fault.code >= 0 else None, where, fault.message, fault.fix)


def _judge_limits(facts: SendFacts) -> Iterator[Problem]:
    if facts.limit_alert:
        fix = "Write to people with an open window first, and spread the others."
        yield warning(131048, "phone_number_id", facts.limit_alert, fix)


def _judge_recipient(message: Mapping[str, Any], facts: SendFacts) -> Iterator[Problem]:
    given, user = message.get("to"), message.get("recipient")
    if not given and not user:
        said = "The recipient is missing."
        yield refusal(100, "to", said, "Add `to` with the phone number, or `recipient` with the user id.")
        return
    if message.get("recipient_type") == "group" or not given:
        return
    text = contact_of(message)
    digits = _SEPARATORS.sub("", text).removeprefix("+")
    number = facts.number
    if user_key(text):
        yield refusal(100, "to", "`to` has a business-scoped user id.", "Put the user id into `recipient`.")
    elif text.startswith("00") or "," in text:
        yield refusal(
            100,
            "to",
            "The phone number begins with 00, or is a list.",
            "Use one number such as 4915112345678.",
        )
    elif number and number.digits and digits == number.digits:
        yield refusal(
            131021, "to", "The recipient is the business number itself.", "Remove it from the list."
        )
    elif not digits.isdecimal() or not _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS:
        yield likely(100, "to", "This is no phone number.", "Send digits with the country code.")
    elif digits.startswith("0"):
        said = "The number has no country code: Meta reads it as one of the sender's country, if at all."
        yield warning(131026, "to", said, "Send digits with the country code.")
    if number and number.mode == "SANDBOX":
        said = "A test number reaches only the numbers on its list, in the spelling of the list."
        yield warning(131030, "to", said, "Add the recipient to the list, or send from another number.")


def _judge_person(person: RecipientFacts) -> Iterator[Problem]:
    if person.verdict in ("suppressed", "wait"):
        fix = "Do not send." if person.verdict == "suppressed" else "Send later."
        yield forbidden(person.code, "to", person.why, fix)
    elif person.verdict == "invalid":
        yield warning(131026, "to", person.why, "Send digits with the country code.")
    if person.has_opted_in is False and not person.window_open:
        said = "No opt-in of the recipient is recorded, and OPT_IN=required."
        yield forbidden(None, "to", said, "Record it with PUT /v1/opt-ins/{contact} when the person agrees.")


def _judge_window(message: Mapping[str, Any], person: RecipientFacts) -> Iterator[Problem]:
    if type_of(message) != "template" and not person.window_open:
        said = "No message or call of the recipient within 24 hours is known: only a template can be sent."
        yield likely(NEEDS_TEMPLATE, "type", said, "Send an approved template.")


def _judge_owner(message: Mapping[str, Any], person: RecipientFacts) -> Iterator[Problem]:
    if type_of(message) != "template" and person.owned_by:
        said = f"Meta has given the conversation to {person.owned_by}; it may have been released since."
        fix = "Leave the conversation to its owner, take it over, or send an approved template."
        yield likely(_OWNED_BY_ANOTHER, "to", said, fix)
