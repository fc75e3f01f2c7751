"""Judges the template that a message uses: whether it exists, its state, its category, and its parameters."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from webhook_app.rules.sends.message_format import contact_of, type_of
from webhook_app.rules.sends.preflight_facts import (
    SAMPLE,
    Problem,
    SendFacts,
    a_list,
    an_object,
    is_fresh,
    likely,
    refusal,
    warning,
)
from webhook_app.rules.sends.template_parameters import judge_parameters, judge_values
from webhook_app.whatsapp.accounts.template_answers import TemplateFacts
from webhook_app.whatsapp.people.contacts import phone_key
from webhook_app.whatsapp.people.numbering import country_of

_STATUS_CODES = {"PAUSED": 132015, "DISABLED": 132016}


def template_name(message: Mapping[str, Any]) -> str:
    """The name of the template that a message uses; empty for others."""
    name = an_object(message.get("template")).get("name") if type_of(message) == "template" else ""
    return name if isinstance(name, str) else ""


def category_of(message: Mapping[str, Any], facts: SendFacts) -> str | None:
    """The category for a check: that of the template, service for others, None if it is unknown."""
    if type_of(message) != "template":
        return "service"
    template = _known_template(message, facts)
    return template.category.lower() if template and template.category else None


def judge_template(message: Mapping[str, Any], facts: SendFacts, now: datetime) -> Iterator[Problem]:
    """The problems of a template message; none of other messages."""
    sent = message.get("template")
    if type_of(message) != "template" or not isinstance(sent, dict):
        return
    name, language = sent.get("name"), an_object(sent.get("language")).get("code")
    if not isinstance(name, str) or not name:
        yield refusal(100, "template.name", "The name of the template is missing.", "Add the name.")
        return
    if not isinstance(language, str) or not language:
        yield refusal(
            100, "template.language.code", "The language is missing.", "Add the code, such as en_US."
        )
        return
    if name == SAMPLE and facts.number and facts.number.mode == "LIVE":
        said = f"The sample template {SAMPLE} can be sent from Meta's test numbers only."
        yield refusal(131058, "template.name", said, "Use a template of your own.")
        return
    template = _known_template(message, facts)
    if template is None:
        yield from _without_template(sent, facts)
        return
    certain = is_fresh(facts.templates_read_at, now)
    yield from _judge_state(template, certain=certain)
    if template.status == "APPROVED":
        yield from judge_parameters(sent, template, now, certain=certain)
        yield from _judge_category(message, template, facts, now)


def _without_template(sent: Mapping[str, Any], facts: SendFacts) -> Iterator[Problem]:
    components = [
        (f"template.components[{place}]", an_object(each))
        for place, each in enumerate(a_list(sent.get("components")))
    ]
    yield from judge_values(components)
    languages = sorted({each.language for each in facts.templates.get(sent["name"], ())})
    if facts.templates_read_at is None:
        said = "The templates of the account are not known here."
        yield warning(132001, "template.name", said, "Set META_ACCESS_TOKEN, so that they can be read.")
    elif languages:
        asked, known = sent["language"]["code"][:50], ", ".join(languages[:20])
        said = f"The template has no translation {asked}; it has: {known}."
        yield likely(132001, "template.language.code", said, "Use one of these codes exactly.")
    else:
        said = "The account had no template of this name when its templates were read last."
        yield likely(132001, "template.name", said, "Correct the name, or check the account of the number.")


def _judge_state(template: TemplateFacts, *, certain: bool) -> Iterator[Problem]:
    if template.status == "APPROVED":
        if template.quality == "RED":
            said = "Meta rates the template's quality RED, and may pause it."
            yield warning(132015, "template.name", said, "Send it to fewer people, or change its text.")
        return
    code = _STATUS_CODES.get(template.status, 132001)
    why = f" ({template.rejected_reason})" if template.rejected_reason else ""
    said = f"The template is {template.status or 'of unknown status'}{why}; only approved ones can be sent."
    known = certain and template.status != ""
    yield (refusal if known else likely)(
        code, "template.name", said, "Send another template until it is approved."
    )


def _judge_category(
    message: Mapping[str, Any], template: TemplateFacts, facts: SendFacts, now: datetime
) -> Iterator[Problem]:
    if template.category == "MARKETING":
        for fault in facts.faults:
            if fault.kind == "marketing" and fault.code > 0:
                certain = is_fresh(fault.checked_at, now)
                yield (refusal if certain else likely)(fault.code, "template.name", fault.message, fault.fix)
        if country_of(phone_key(contact_of(message))) == "US":
            said = "Meta does not deliver marketing templates to numbers of the United States (+1)."
            yield warning(131049, "to", said, "Use another channel for marketing there.")
    codes = [part for part in template.parts if part.kind == "button" and part.format in ("OTP", "COPY_CODE")]
    if template.category == "AUTHENTICATION" and codes and not message.get("to") and message.get("recipient"):
        said = "Authentication templates with a code button cannot be sent to a user id."
        yield refusal(131062, "recipient", said, "Send it to the phone number, in `to`.")


def _known_template(message: Mapping[str, Any], facts: SendFacts) -> TemplateFacts | None:
    language = an_object(an_object(message.get("template")).get("language")).get("code")
    return next(
        (each for each in facts.templates.get(template_name(message), ()) if each.language == language), None
    )
