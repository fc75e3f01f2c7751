"""Judges the form of a message in Meta's own format: what it must have, and how long its parts may be.

Certain refusals are those that Meta documents or implementers captured (Meta's pages of message types, Graph v25, read
2026-11). Keys and types that are not known here are left to Meta.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from webhook_app.rules.sends.interactive_format import judge_interactive
from webhook_app.rules.sends.preflight_facts import (
    MediaFile,
    Problem,
    a_list,
    a_word,
    an_object,
    likely,
    refusal,
    warning,
)

MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")
TYPES = (
    *MEDIA_TYPES, "contacts", "interactive", "location", "reaction", "template", "text",
)  # fmt: skip
_MAX_TEXT, _MAX_CAPTION, _MAX_CONTACTS, _MAX_DATA = 4096, 1024, 257, 512
_MB = 1_000_000
_MAX_BYTES = {
    "image": 5 * _MB,
    "video": 16 * _MB,
    "audio": 16 * _MB,
    "document": 100 * _MB,
    "sticker": 500_000,
}
_MIME_TYPES = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/mp4", "video/3gpp"),
    "audio": ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"),
    "sticker": ("image/webp",),
}
_ENDINGS = {
    "image": (".gif", ".webp", ".bmp", ".svg", ".heic", ".pdf", ".mp4"),
    "video": (".mov", ".avi", ".webm", ".mkv", ".jpg", ".png"),
    "audio": (".wav", ".flac", ".mp4v"),
    "sticker": (".png", ".jpg", ".jpeg", ".gif"),
}
"""Endings of links that no accepted file of the type has."""


def is_receipt(message: Mapping[str, Any]) -> bool:
    """Whether it marks a message as read, or shows that somebody types: no message is sent."""
    return message.get("status") == "read"


def type_of(message: Mapping[str, Any]) -> str:
    """The type of a message; Meta takes one without a type as text."""
    given = message.get("type", "text")
    return given.lower() if isinstance(given, str) else ""


def contact_of(message: Mapping[str, Any]) -> str:
    """The person that a message is for, as text; empty for a group, for a receipt or without one."""
    if is_receipt(message) or message.get("recipient_type") == "group":
        return ""
    given = message.get("to") or message.get("recipient")
    return given.strip() if isinstance(given, str) else str(given) if type(given) is int else ""


def judge_receipt(message: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of a receipt."""
    yield from _judge_product(message)
    if not message.get("message_id"):
        fix = "Add the id of the message that was read."
        yield refusal(100, "message_id", "The id of the message is missing.", fix)


def judge_format(message: Mapping[str, Any], file: MediaFile | None) -> Iterator[Problem]:
    """The problems of a message's own form, apart from its recipient and its template."""
    product = message.get("messaging_product")
    if product is None:
        yield refusal(
            100, "messaging_product", "messaging_product is missing.", 'Add "messaging_product": "whatsapp".'
        )
    elif product != "whatsapp":
        yield refusal(
            100, "messaging_product", "messaging_product is not whatsapp.", 'It must be "whatsapp".'
        )
    kind = type_of(message)
    if kind not in TYPES:
        yield likely(
            100, "type", "Meta knows no such type of message.", f"Use one of: {', '.join(sorted(TYPES))}."
        )
        return
    if not isinstance(message.get(kind), list if kind == "contacts" else dict):
        yield refusal(
            100, kind, f"A message of type {kind} needs the object {kind}.", f"Add the object {kind}."
        )
        return
    yield from _judge_type(kind, message, file)
    data = message.get("biz_opaque_callback_data")
    if isinstance(data, str) and len(data) > _MAX_DATA:
        fix = f"Shorten it to {_MAX_DATA} characters."
        yield likely(100, "biz_opaque_callback_data", "biz_opaque_callback_data is too long.", fix)


def _judge_product(message: Mapping[str, Any]) -> Iterator[Problem]:
    product, where = message.get("messaging_product"), "messaging_product"
    if not product:
        yield refusal(100, where, "messaging_product is missing.", 'Add "messaging_product": "whatsapp".')
    elif a_word(product) != "whatsapp":
        yield refusal(100, where, "messaging_product is not whatsapp.", 'It must be "whatsapp".')


def _judge_type(kind: str, message: Mapping[str, Any], file: MediaFile | None) -> Iterator[Problem]:
    content = message[kind]
    if kind == "text":
        yield from _judge_text(content)
    elif kind in MEDIA_TYPES:
        yield from _judge_media(kind, content, file)
    elif kind == "location":
        for name in ("latitude", "longitude"):
            if content.get(name) in (None, ""):
                yield refusal(100, f"location.{name}", f"The {name} is missing.", f"Add the {name}.")
    elif kind == "contacts":
        yield from _judge_contacts(content)
    elif kind == "reaction":
        if not content.get("message_id"):
            fix = "Add the id of the message to react to."
            yield refusal(100, "reaction.message_id", "The message to react to is missing.", fix)
    elif kind == "interactive":
        yield from judge_interactive(content)


def _judge_text(content: Mapping[str, Any]) -> Iterator[Problem]:
    body = content.get("body")
    if body is None or body == "":
        yield refusal(100, "text.body", "The text is empty.", "Add a text of 1 to 4096 characters.")
    elif not isinstance(body, str):
        yield refusal(100, "text.body", "The text is not a string.", "Send the text as a JSON string.")
    elif len(body) > _MAX_TEXT:
        fix = f"Shorten it to {_MAX_TEXT} characters, or send several messages."
        yield refusal(100, "text.body", f"The text has {len(body)} characters.", fix)


def _judge_media(kind: str, content: Mapping[str, Any], file: MediaFile | None) -> Iterator[Problem]:
    media_id, link = content.get("id"), content.get("link")
    if not media_id and not link:
        yield refusal(
            100, kind, f"The {kind} has neither id nor link.", "Add the id of an uploaded file, or a link."
        )
    elif isinstance(link, str) and not media_id and not link.lower().startswith(("http://", "https://")):
        yield likely(
            100, f"{kind}.link", "The link is no web address.", "Use an address that begins with https://."
        )
    elif isinstance(link, str) and link.lower().partition("?")[0].endswith(_ENDINGS.get(kind, ("\0",))):
        fix = f"Accepted are: {', '.join(_MIME_TYPES[kind])}. Meta reports it by webhook, after the send."
        yield warning(131053, f"{kind}.link", f"The file is probably no {kind} that Meta takes.", fix)
    caption = content.get("caption")
    if isinstance(caption, str) and len(caption) > _MAX_CAPTION:
        fix = f"Shorten it to {_MAX_CAPTION} characters."
        yield likely(100, f"{kind}.caption", f"The caption has {len(caption)} characters.", fix)
    if file is not None:
        yield from _judge_file(kind, file)


def _judge_file(kind: str, file: MediaFile) -> Iterator[Problem]:
    mime_type = file.mime_type.partition(";")[0].strip().lower()
    if mime_type and kind in _MIME_TYPES and mime_type not in _MIME_TYPES[kind]:
        fix = f"Accepted are: {', '.join(_MIME_TYPES[kind])}. Meta reports it by webhook, after the send."
        yield warning(131053, kind, f"Meta takes no {kind} of type {mime_type[:100]}.", fix)
    if file.bytes > _MAX_BYTES[kind]:
        fix = f"At most {_MAX_BYTES[kind] / _MB:g} MB. Meta reports it by webhook, after the send."
        yield warning(
            131053, kind, f"The file has {file.bytes / _MB:.1f} MB, too many for the type {kind}.", fix
        )


def _judge_contacts(content: list[Any]) -> Iterator[Problem]:
    if not content:
        yield refusal(100, "contacts", "There is no contact card.", "Add at least one.")
    elif len(content) > _MAX_CONTACTS:
        yield likely(
            131009, "contacts", f"There are {len(content)} contact cards.", f"Send at most {_MAX_CONTACTS}."
        )
    for place, each in enumerate(a_list(content)[:_MAX_CONTACTS]):
        if not an_object(an_object(each).get("name")).get("formatted_name"):
            where = f"contacts[{place}].name.formatted_name"
            yield likely(
                100,
                where,
                "The contact card has no formatted_name.",
                "Add it, and one more part of the name.",
            )
            return
