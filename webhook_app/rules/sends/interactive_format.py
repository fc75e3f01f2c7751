"""Judges interactive messages: buttons, lists, links, Flows. Types that are not known here are left to Meta."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from webhook_app.rules.sends.preflight_facts import Problem, a_list, an_object, likely, refusal

_MAX_BODY, _MAX_LIST_BODY, _MAX_FOOTER = 1024, 4096, 60
_MAX_BUTTONS, _MAX_TITLE, _MAX_BUTTON_ID = 3, 20, 256
_MAX_ROWS, _MAX_SECTIONS = 10, 10
_MAX_ROW_TITLE, _MAX_DESCRIPTION, _MAX_ROW_ID = 24, 72, 200
_NEEDS_BODY = (
    "button",
    "list",
    "cta_url",
    "flow",
    "location_request_message",
    "product_list",
    "catalog_message",
)
_LONG = "Shorten it to {} characters."


def judge_interactive(content: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of the object `interactive`."""
    kind = content.get("type")
    if not isinstance(kind, str):
        yield refusal(
            100, "interactive.type", "The type of the interactive message is missing.", "Add the type."
        )
        return
    action = an_object(content.get("action"))
    if not action:
        yield refusal(100, "interactive.action", "The object action is missing.", "Add it.")
        return
    yield from _judge_texts(kind, content)
    if kind == "button":
        yield from _judge_buttons(a_list(action.get("buttons")))
    elif kind == "list":
        yield from _judge_list(action)
    elif kind == "cta_url":
        yield from _judge_link(content, an_object(action.get("parameters")))


def _judge_texts(kind: str, content: Mapping[str, Any]) -> Iterator[Problem]:
    body = an_object(content.get("body")).get("text")
    most = _MAX_LIST_BODY if kind == "list" else _MAX_BODY
    if not body and kind in _NEEDS_BODY:
        yield likely(131009, "interactive.body.text", "The body has no text.", "Add a text.")
    elif isinstance(body, str) and len(body) > most:
        said = f"The body has {len(body)} characters."
        yield likely(131009, "interactive.body.text", said, _LONG.format(most))
    footer = an_object(content.get("footer")).get("text")
    if isinstance(footer, str) and len(footer) > _MAX_FOOTER:
        said = f"The footer has {len(footer)} characters."
        yield refusal(131009, "interactive.footer.text", said, _LONG.format(_MAX_FOOTER))


def _judge_buttons(buttons: Sequence[Any]) -> Iterator[Problem]:
    where = "interactive.action.buttons"
    if not 1 <= len(buttons) <= _MAX_BUTTONS:
        yield likely(131009, where, f"There are {len(buttons)} buttons.", f"Use 1 to {_MAX_BUTTONS}.")
    titles = []
    for place, each in enumerate(buttons[:_MAX_BUTTONS]):
        reply = an_object(an_object(each).get("reply"))
        title, button_id = reply.get("title"), reply.get("id")
        if not isinstance(title, str) or not 1 <= len(title) <= _MAX_TITLE:
            said = "The title of a button must have 1 to 20 characters."
            yield refusal(131009, f"{where}[{place}].reply.title", said, _LONG.format(_MAX_TITLE))
        elif title in titles:
            said = "Two buttons have the same title."
            yield refusal(131009, f"{where}[{place}].reply.title", said, "Give each button its own title.")
        titles.append(title)
        if not isinstance(button_id, str) or not 1 <= len(button_id) <= _MAX_BUTTON_ID:
            said = "The id of a button must have 1 to 256 characters."
            yield likely(
                131009, f"{where}[{place}].reply.id", said, "Add an id that is unique in the message."
            )


def _judge_list(action: Mapping[str, Any]) -> Iterator[Problem]:
    where, button = "interactive.action", action.get("button")
    if not isinstance(button, str) or not 1 <= len(button) <= _MAX_TITLE:
        said = "The button that opens the list must have 1 to 20 characters."
        yield likely(131009, f"{where}.button", said, _LONG.format(_MAX_TITLE))
    sections = [an_object(each) for each in a_list(action.get("sections"))]
    rows = (
        (f"{where}.sections[{place}].rows[{at}]", an_object(row))
        for place, section in enumerate(sections)
        for at, row in enumerate(a_list(section.get("rows")))
    )
    count = sum(len(a_list(section.get("rows"))) for section in sections)
    if not count or len(sections) > _MAX_SECTIONS:
        yield likely(
            131009, f"{where}.sections", "The list has no rows, or over 10 sections.", "Correct them."
        )
    if count > _MAX_ROWS:
        said = f"The list has {count} rows in all its sections."
        yield refusal(131009, f"{where}.sections", said, f"Use at most {_MAX_ROWS}.")
    for place, row in islice(rows, _MAX_ROWS):
        title, description, row_id = row.get("title"), row.get("description"), row.get("id")
        if not isinstance(title, str) or not title:
            yield likely(131009, f"{place}.title", "The row has no title.", "Add a title.")
        elif len(title) > _MAX_ROW_TITLE:
            said = f"The title of the row has {len(title)} characters."
            yield refusal(131009, f"{place}.title", said, _LONG.format(_MAX_ROW_TITLE))
        if isinstance(description, str) and len(description) > _MAX_DESCRIPTION:
            said = f"The description has {len(description)} characters."
            yield likely(131009, f"{place}.description", said, _LONG.format(_MAX_DESCRIPTION))
        if not isinstance(row_id, str) or not 1 <= len(row_id) <= _MAX_ROW_ID:
            yield likely(131009, f"{place}.id", "The id must have 1 to 200 characters.", "Add a unique id.")


def _judge_link(content: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[Problem]:
    where, shown = "interactive.action.parameters", parameters.get("display_text")
    if not isinstance(parameters.get("url"), str) or not parameters["url"]:
        yield likely(131009, f"{where}.url", "The address is missing.", "Add the address.")
    if not isinstance(shown, str) or not 1 <= len(shown) <= _MAX_TITLE:
        said = "The text of the button must have 1 to 20 characters."
        yield likely(131009, f"{where}.display_text", said, _LONG.format(_MAX_TITLE))
    header = an_object(content.get("header"))
    for kind in ("image", "video", "document"):
        media = an_object(header.get(kind))
        if media and not media.get("link"):
            said = f"The header's {kind} is given by id; this type of message takes a link only."
            yield refusal(131008, f"interactive.header.{kind}.link", said, "Give the link of the file.")
