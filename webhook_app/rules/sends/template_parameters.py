"""Compares the parameters of a template message with what the template needs.

Counted as Meta does: `{{1}}` of header and body are two values, a repeated one is one. `certain` says whether the
template is known as it is now; if not, what differs is only likely to be refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from webhook_app.rules.sends.preflight_facts import (
    Problem,
    a_list,
    a_word,
    an_object,
    likely,
    refusal,
    warning,
)
from webhook_app.whatsapp.accounts.template_answers import TemplateFacts, TemplatePart, fixed_length

_MEDIA = ("IMAGE", "VIDEO", "DOCUMENT", "GIF")
_MAX_BODY = 1024
_MAX_COUPON, _USUAL_COUPON = 20, 15
_FIRST_MS = 10**12  # milliseconds since 1970; a smaller figure is in seconds
_NOT_ALLOWED = ("\n", "\t", "\r", " " * 5)
_COUNT_FIX = "Send one value for each placeholder of the component, and none for a component without."


def judge_parameters(
    sent: Mapping[str, Any], template: TemplateFacts, now: datetime, *, certain: bool
) -> Iterator[Problem]:
    """The problems of the parameters in the object `template` of a message."""
    for problem in _judge(sent, template, now):
        yield problem if certain or problem.severity == "warn" else replace(problem, severity="warn")


def _judge(sent: Mapping[str, Any], template: TemplateFacts, now: datetime) -> Iterator[Problem]:
    components = [
        (f"template.components[{place}]", an_object(each))
        for place, each in enumerate(a_list(sent.get("components")))
    ]
    yield from judge_values(components)
    yield from _judge_parts(components, template.parts, is_named=template.is_named)
    cards = [part for part in template.parts if part.kind == "card"]
    carousel = next((each for _, each in components if _kind(each) == "carousel"), None)
    if cards and len(a_list(an_object(carousel).get("cards"))) != len(cards):
        said = f"The template has {len(cards)} cards."
        yield likely(132012, "template.components", said, "Send every card, each with its header.")
    if any(part.kind == "limited_time_offer" and part.parameters for part in template.parts):
        yield from _judge_offer(components, now)


def judge_values(components: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Problem]:
    """The problems that values have whatever the template is."""
    for where, component in components:
        for place, each in enumerate(a_list(component.get("parameters"))):
            field = f"{where}.parameters[{place}]"
            if not isinstance(each, dict):
                yield likely(100, field, "The parameter is not an object.", "Send an object with its type.")
            elif a_word(each.get("type", "text")) == "text":
                yield from _judge_value(component, each.get("text"), f"{field}.text")


def _judge_value(component: Mapping[str, Any], text: Any, field: str) -> Iterator[Problem]:
    if text in (None, ""):
        fix = "Send a value, or a placeholder such as a dash."
        yield refusal(131008, field, "The value is empty.", fix)
    elif not isinstance(text, str):
        yield likely(100, field, "The value is not a string.", "Send the value as a JSON string.")
    elif any(each in text for each in _NOT_ALLOWED) and _kind(component) in ("header", "body"):
        said = "The value has a line break, a tab or more than four spaces in a row."
        yield refusal(132018, field, said, "Replace them by single spaces.")


def _judge_parts(
    components: Sequence[tuple[str, Mapping[str, Any]]], parts: Sequence[TemplatePart], *, is_named: bool
) -> Iterator[Problem]:
    by_kind = {kind: next((part for part in parts if part.kind == kind), None) for kind in ("header", "body")}
    for kind, part in by_kind.items():
        where, component = next(
            (each for each in components if _kind(each[1]) == kind), ("template.components", {})
        )
        values = _values(component)
        if part is not None and kind == "header" and part.format not in ("TEXT", ""):
            yield from _judge_header(where, values, part)
        elif part is not None and (part.text or not values):
            yield from _judge_texts(where, values, part, is_named=is_named)
        elif part is None and values:
            said = f"The template has no {kind}, and {len(values)} values are given for it."
            yield likely(132000, where, said, _COUNT_FIX)
    for part in parts:
        if part.kind == "button" and part.parameters:
            yield from _judge_button(components, part)


def _judge_header(where: str, values: Sequence[Mapping[str, Any]], part: TemplatePart) -> Iterator[Problem]:
    given = a_word(values[0].get("type")).upper() if values else "nothing"
    fix = f"Send one parameter of type {part.format.lower()} in the header."
    said = f"The header needs a parameter of type {part.format.lower()}; given is {given.lower()[:50]}."
    if part.format not in _MEDIA:
        if given != part.format:
            yield likely(132012, where, said, fix)
    elif given != part.format:
        yield refusal(132012, where, said, fix)
    else:
        media = an_object(values[0].get(part.format.lower()))
        if not media.get("id") and not media.get("link"):
            yield refusal(132012, where, f"The {part.format.lower()} has neither id nor link.", fix)


def _judge_texts(
    where: str, values: Sequence[Mapping[str, Any]], part: TemplatePart, *, is_named: bool
) -> Iterator[Problem]:
    needed = part.parameters
    if len(values) != len(needed):
        listed = f" ({', '.join(needed[:10])})" if needed else ""
        said = f"The {part.kind} needs {len(needed)} parameters{listed}; given are {len(values)}."
        yield refusal(132000, where, said, _COUNT_FIX)
        return
    names = [name if isinstance(name := value.get("parameter_name"), str) else "" for value in values]
    if is_named and needed and not all(names):
        fix = "Give each parameter its parameter_name, as in the template."
        yield refusal(
            100, where, "A parameter has no parameter_name; the template's parameters have names.", fix
        )
    elif is_named and set(names) != set(needed):
        said = f"The names of the parameters must be: {', '.join(needed[:10])}."
        yield likely(132012, where, said, "Correct the names.")
    elif not is_named and any(names):
        said = "The template's parameters have numbers, not names."
        yield likely(132012, where, said, "Remove parameter_name, and send the values in order.")
    if part.kind == "body":
        length = fixed_length(part.text) + sum(map(_length, values))
        if length > _MAX_BODY:
            said = f"The text has {length} characters with its values."
            yield likely(132005, where, said, f"Shorten the values: {_MAX_BODY} characters are allowed.")


def _judge_button(
    components: Sequence[tuple[str, Mapping[str, Any]]], part: TemplatePart
) -> Iterator[Problem]:
    where, component = next(
        (each for each in components if _kind(each[1]) == "button" and _index(each[1]) == str(part.index)),
        ("template.components", {}),
    )
    values = _values(component)
    if not values:
        said = f"Button {part.index} ({part.format}, {part.text[:30]}) needs a value."
        fix = f"Add a component of type button with index {part.index} and one parameter."
        yield refusal(131008, where, said, fix)
    elif part.format == "COPY_CODE":
        code = values[0].get("coupon_code")
        if not isinstance(code, str) or not code:
            yield refusal(131008, where, "The code to copy is missing.", "Add coupon_code.")
        elif len(code) > _MAX_COUPON:
            yield likely(
                131009, where, f"The code has {len(code)} characters.", f"Use at most {_MAX_COUPON}."
            )
        elif len(code) > _USUAL_COUPON:
            yield warning(
                131009, where, f"Some pages of Meta allow {_USUAL_COUPON} characters.", "Use a shorter code."
            )


def _judge_offer(components: Sequence[tuple[str, Mapping[str, Any]]], now: datetime) -> Iterator[Problem]:
    where, component = next(
        (each for each in components if _kind(each[1]) == "limited_time_offer"), ("template.components", {})
    )
    values = _values(component)
    ends = an_object(values[0].get("limited_time_offer")).get("expiration_time_ms") if values else None
    if type(ends) is not int:
        yield likely(131008, where, "The end of the offer is missing.", "Add expiration_time_ms.")
    elif ends < _FIRST_MS or ends < now.timestamp() * 1000:
        said = "The end of the offer is in the past, or not in milliseconds."
        yield warning(131009, where, said, "Give milliseconds since 1970.")


def _kind(component: Mapping[str, Any]) -> str:
    return a_word(component.get("type"))


def _index(component: Mapping[str, Any]) -> str:
    given = component.get("index", "0")
    return given if isinstance(given, str) else str(given) if given in range(100) else ""


def _length(value: Mapping[str, Any]) -> int:
    text = value.get("text")
    return len(text) if isinstance(text, str) else 0


def _values(component: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in a_list(component.get("parameters")) if isinstance(each, dict)]
