"""What is wrong with the body of a send, apart from templates, in Meta's words. Values only.

Every function returns the faults lazily: Meta answers the first one. Limits: Meta's pages of November 2025 to 2026.
"""

from collections.abc import Callable, Container, Iterator
from typing import Any

from webhook_app.simulator.graph_api.answers import GraphRefusal, refusal
from webhook_app.simulator.messages import Json

TYPES = (
    "audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker", "template", "text",
    "video",
)  # fmt: skip
MEDIA = ("audio", "document", "image", "sticker", "video")
_MAX_CALLBACK_DATA = 512
_MAX_CAPTION = 1024
_MAX_CONTACTS = 257
_MAX_TEXT = 4096
_MAX_BODY = 1024
_MAX_FOOTER = 60
_MAX_BUTTONS = 3
_MAX_LABEL = 20
_MAX_ROWS = 10
_MAX_ROW_TITLE = 24
_MAX_DESCRIPTION = 72
_NEED_CATALOG = ("product", "product_list", "catalog_message")


def body_faults(body: Json, media_ids: Container[str]) -> Iterator[GraphRefusal]:
    """The faults of a message's type and of the object that belongs to it. `media_ids` were uploaded."""
    callback_data = body.get("biz_opaque_callback_data", "")
    yield from _text("biz_opaque_callback_data", callback_data, _MAX_CALLBACK_DATA, is_required=False)
    kind = body.get("type", "text")
    if kind not in TYPES:
        names = ", ".join(TYPES).upper()
        yield refusal(100, message=f'Param type must be one of {{{names}}} - got "{kind}".')
    part = body.get(kind)
    has_its_form = isinstance(part, list if kind == "contacts" else dict)
    if part is None or not has_its_form:
        yield refusal(100, f"Parameter '{kind}' is mandatory for type '{kind}'")
    elif kind in MEDIA:
        yield from media_faults(kind, part, media_ids)
    elif check := _CHECKS.get(kind):
        yield from check(part)


def media_faults(kind: str, part: Json, media_ids: Container[str]) -> Iterator[GraphRefusal]:
    """The faults of a media object: it has either the id of an upload or a link, and perhaps a caption."""
    media_id, link = part.get("id"), part.get("link")
    if not media_id and not link:
        yield refusal(100, f"The parameter {kind}['id'] or {kind}['link'] is required")
    elif media_id and link:
        yield refusal(100, f"Only one of {kind}['id'] and {kind}['link'] is allowed")
    elif media_id and str(media_id) not in media_ids:
        said = f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID"
        yield refusal(100, message=said)
    yield from _text(f"{kind}['caption']", part.get("caption", ""), _MAX_CAPTION, is_required=False)


def _text(name: str, value: Any, longest: int, *, is_required: bool = True) -> Iterator[GraphRefusal]:
    if value is None or (is_required and value == ""):
        yield refusal(100, message=f"The parameter {name} is required.")
    elif not isinstance(value, str):
        yield refusal(100, message=f"Param {name} must be a string.")
    elif len(value) > longest:
        yield refusal(100, message=f"Param {name} must be at most {longest} characters long.")


def _text_message(part: Json) -> Iterator[GraphRefusal]:
    yield from _text("text['body']", part.get("body"), _MAX_TEXT)


def _location(part: Json) -> Iterator[GraphRefusal]:
    for name in ("latitude", "longitude"):
        if part.get(name) in (None, ""):
            yield refusal(100, message=f"The parameter location['{name}'] is required.")


def _reaction(part: Json) -> Iterator[GraphRefusal]:
    yield from _text("reaction['message_id']", part.get("message_id"), _MAX_BODY)
    yield from _text("reaction['emoji']", part.get("emoji"), _MAX_LABEL, is_required=False)


def _contacts(part: list[Any]) -> Iterator[GraphRefusal]:
    if not 1 <= len(part) <= _MAX_CONTACTS:
        yield refusal(100, f"Param contacts must have 1 to {_MAX_CONTACTS} elements")
    for place, each in enumerate(part):
        name = each.get("name") if isinstance(each, dict) else None
        formatted = name.get("formatted_name") if isinstance(name, dict) else None
        yield from _text(f"contacts[{place}]['name']['formatted_name']", formatted, _MAX_BODY)


def _interactive(part: Json) -> Iterator[GraphRefusal]:
    kind, action, footer = part.get("type"), _object(part, "action"), _object(part, "footer")
    yield from _text("interactive['type']", kind, _MAX_BODY)
    if kind in _NEED_CATALOG:
        yield refusal(131009, "No catalog is connected to the WhatsApp Business account")
    if kind != "carousel" or "body" in part:
        longest = _MAX_TEXT if kind == "list" else _MAX_BODY
        yield from _length("Body text", _object(part, "body").get("text"), 1, longest)
    yield from _length("Footer text", footer.get("text", ""), 0, _MAX_FOOTER)
    if not action:
        yield refusal(100, "Parameter 'action' is mandatory for type 'interactive'")
    if kind == "button":
        yield from _buttons(_list(action, "buttons"))
    elif kind == "list":
        yield from _rows(action)
    elif kind in ("cta_url", "flow"):
        yield from _link_header(_object(part, "header"))


def _buttons(buttons: list[Json]) -> Iterator[GraphRefusal]:
    if not 1 <= len(buttons) <= _MAX_BUTTONS:
        yield refusal(
            131009, f"Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: {_MAX_BUTTONS}"
        )
    replies = [_object(each, "reply") for each in buttons]
    for reply in replies:
        yield from _length("Button title", reply.get("title"), 1, _MAX_LABEL)
        yield from _length("Button id", reply.get("id"), 1, 256)
    if len({reply["title"] for reply in replies}) < len(replies):
        yield refusal(131009, "Duplicated title of button")


def _rows(action: Json) -> Iterator[GraphRefusal]:
    yield from _length("Button label", action.get("button"), 1, _MAX_LABEL)
    sections = _list(action, "sections")
    rows = [row for section in sections for row in _list(section, "rows")]
    if not rows:
        yield refusal(131009, "At least one row is required")
    if len(rows) > _MAX_ROWS:
        yield refusal(131009, f"Total row count exceed max allowed count: {_MAX_ROWS}")
    for row in rows:
        title, description = row.get("title"), row.get("description", "")
        if isinstance(title, str) and len(title) > _MAX_ROW_TITLE:
            yield refusal(131009, f"Row title is too long. Max length is {_MAX_ROW_TITLE}")
        yield from _length("Row title", title, 1, _MAX_ROW_TITLE)
        yield from _length("Row id", row.get("id"), 1, 200)
        yield from _length("Row description", description, 0, _MAX_DESCRIPTION)
    if len({row["id"] for row in rows}) < len(rows):
        yield refusal(131009, "Duplicated id of row")


def _link_header(header: Json) -> Iterator[GraphRefusal]:
    kind = header.get("type")
    if kind in MEDIA and not _object(header, kind).get("link"):
        yield refusal(131008, f"header {kind} must contain link.")


def _length(name: str, value: Any, shortest: int, longest: int) -> Iterator[GraphRefusal]:
    if not isinstance(value, str) or not shortest <= len(value) <= longest:
        yield refusal(131009, f"{name} length invalid. Min length: {shortest}, Max length: {longest}")


def _object(part: Json, name: str) -> Json:
    found = part.get(name)
    return found if isinstance(found, dict) else {}


def _list(part: Json, name: str) -> list[Json]:
    found = part.get(name)
    return [each if isinstance(each, dict) else {} for each in found] if isinstance(found, list) else []


_CHECKS: dict[str, Callable[[Any], Iterator[GraphRefusal]]] = {
    "text": _text_message,
    "location": _location,
    "reaction": _reaction,
    "contacts": _contacts,
    "interactive": _interactive,
}
