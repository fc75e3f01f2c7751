"""Reads message templates as the Graph API describes them: their state, and what each component takes at a send.

Numbers of parameters count per component: `{{1}}` of the header and of the body are two values. Field names: Meta's
reference of Graph v25, read 2026-11.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from webhook_app.whatsapp.accounts.graph_values import a_list, a_text, a_word, an_object

FIELDS = ("id", "name", "language", "status", "category", "components")
OPTIONAL_FIELDS = (
    "quality_score",
    "rejected_reason",
    "parameter_format",
    "correct_category",
    "previous_category",
)

_MAX_TEXT = 1100  # Meta's longest text has 1024 characters
_MAX_PARTS = 30
_MAX_PARAMETERS = 100
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_NAME = re.compile(r"[\w.-]{1,512}", re.ASCII)
_MEDIA = ("IMAGE", "VIDEO", "DOCUMENT", "GIF")
_ONE_VALUE = {
    "COPY_CODE": "coupon_code",
    "OTP": "code",
    "MPM": "sections",
    "LOCATION": "location",
    "PRODUCT": "product",
}


class TemplatePart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One component of a template, or one of its buttons. `parameters`: the values that a send must have, in order."""

    kind: str
    """header, body, footer, button, card, limited_time_offer or another type of Meta's, in small letters."""
    format: str = ""
    """Of a header: TEXT, IMAGE …; of a button: URL, OTP, QUICK_REPLY …"""
    text: str = ""
    parameters: tuple[str, ...] = ()
    """Numbers or names of placeholders; the kind of media or button for one that has no name."""
    index: int = -1
    """The place of a button or card."""
    parts: tuple["TemplatePart", ...] = ()
    """Of a card: its components."""


class TemplateFacts(Struct, frozen=True, kw_only=True):
    """A message template in one language. What Meta does not say is empty."""

    waba_id: str
    name: str
    language: str
    template_id: str
    status: str
    category: str
    category_to_come: str
    """The category to which Meta will move it, if another."""
    quality: str
    rejected_reason: str
    is_named: bool
    """Whether its parameters have names instead of numbers."""
    parts: tuple[TemplatePart, ...]


def read_template(row: Mapping[str, Any], waba_id: str) -> TemplateFacts:
    """Reads one row of /{waba_id}/message_templates."""
    category, right = _plain(row.get("category")).upper(), _plain(row.get("correct_category")).upper()
    reason = a_word(row.get("rejected_reason"))
    parts = tuple(read_parts(row.get("components")))
    named = any(not each.isdecimal() for part in parts if part.kind == "body" for each in part.parameters)
    return TemplateFacts(
        waba_id=waba_id,
        name=_plain(row.get("name")),
        language=_plain(row.get("language")),
        template_id=_plain(row.get("id")),
        status=_plain(row.get("status")).upper(),
        category=category,
        category_to_come=right if right != category else "",
        quality=_plain(an_object(row.get("quality_score")).get("score")).upper(),
        rejected_reason="" if reason == "NONE" else reason,
        is_named=a_word(row.get("parameter_format")) == "NAMED" or named,
        parts=parts,
    )


def read_parts(components: Any) -> list[TemplatePart]:
    """Reads the components of a template, or of a card."""
    found: list[TemplatePart] = []
    for each in map(an_object, a_list(components)[:_MAX_PARTS]):
        kind = a_text(each.get("type")).lower()
        if kind == "buttons":
            buttons = map(an_object, a_list(each.get("buttons"))[:_MAX_PARTS])
            found += [_button(button, place) for place, button in enumerate(buttons)]
        elif kind == "carousel":
            cards = map(an_object, a_list(each.get("cards"))[:_MAX_PARTS])
            found += [
                TemplatePart(kind="card", index=place, parts=tuple(read_parts(card.get("components"))))
                for place, card in enumerate(cards)
            ]
        elif kind == "limited_time_offer":
            has_end = an_object(each.get("limited_time_offer")).get("has_expiration") is True
            found.append(TemplatePart(kind=kind, parameters=("expiration_time_ms",) if has_end else ()))
        elif kind:
            found.append(_text_part(kind, each))
    return found


def describe_parts(parts: tuple[TemplatePart, ...]) -> str:
    """What a send must fill, in a few words such as `header IMAGE 1, body 2, button 0 URL 1`."""
    words = []
    for part in parts:
        name = " ".join(filter(None, (part.kind, str(part.index) if part.index >= 0 else "", part.format)))
        inner = describe_parts(part.parts)
        if part.parameters:
            words.append(f"{name} {len(part.parameters)}")
        elif inner:
            words.append(f"{name} ({inner})")
    return ", ".join(words)


def count_parameters(parts: tuple[TemplatePart, ...]) -> int:
    """The number of values that a send must have."""
    return sum(len(part.parameters) + count_parameters(part.parts) for part in parts)


def placeholders(text: str) -> tuple[str, ...]:
    """The names or numbers of a text's placeholders, each once, numbers in their order."""
    found = list(dict.fromkeys(_PLACEHOLDER.findall(text)))[:_MAX_PARAMETERS]
    return tuple(sorted(found, key=int) if all(each.isdecimal() for each in found) else found)


def fixed_length(text: str) -> int:
    """The number of characters of a text without its placeholders."""
    return len(_PLACEHOLDER.sub("", text))


def _plain(value: Any) -> str:
    """The text if it has Meta's form of a name, a language or an id, else an empty one: it becomes part of a key."""
    text = a_text(value)
    return text if _NAME.fullmatch(text) else ""


def _text_part(kind: str, row: Mapping[str, Any]) -> TemplatePart:
    form = a_word(row.get("format")) or ("TEXT" if kind == "header" else "")
    text = a_text(row.get("text"), _MAX_TEXT)
    if form in _MEDIA:
        parameters: tuple[str, ...] = (form.lower(),)
    elif form in _ONE_VALUE:
        parameters = (_ONE_VALUE[form],)
    else:
        parameters = placeholders(text)
    return TemplatePart(kind=kind, format=form, text=text, parameters=parameters)


def _button(row: Mapping[str, Any], place: int) -> TemplatePart:
    form = a_word(row.get("type"))
    parameters: tuple[str, ...] = ()
    if form == "URL" and placeholders(a_text(row.get("url"), _MAX_TEXT)):
        parameters = ("text",)
    elif form in ("COPY_CODE", "OTP", "MPM"):
        parameters = (_ONE_VALUE[form],)
    return TemplatePart(
        kind="button", format=form, text=a_text(row.get("text")), parameters=parameters, index=place
    )
