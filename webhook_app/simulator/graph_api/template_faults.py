"""What is wrong with a template message: the template's name and state, and the parameters. Values only.

Numbers of parameters count per component. Every function returns the faults lazily: Meta answers the first one.
"""

import re
from collections.abc import Container, Iterable, Iterator
from typing import Any

from webhook_app.simulator.graph_api.answers import GraphRefusal, refusal
from webhook_app.simulator.graph_api.message_faults import media_faults
from webhook_app.simulator.messages import Json

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BAD_SPACE = re.compile(r"[\n\t\r]| {5}")
_MAX_BODY = 1024
_STATES = {"PAUSED": 132015, "DISABLED": 132016}
_MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")
_HELLO = "hello_world"


def find_template(templates: Iterable[Json], part: Json) -> Json | None:
    """Return the row of the template that a send names, or None."""
    language = part.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    return next(
        (row for row in templates if row.get("name") == part.get("name") and row.get("language") == code),
        None,
    )


def template_faults(
    templates: Iterable[Json], part: Json, media_ids: Container[str], *, to_user_id: bool
) -> Iterator[GraphRefusal]:
    """The faults of a send's template object."""
    name, language = part.get("name"), part.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    if not name:
        yield refusal(100, message="The parameter template['name'] is required.")
    if not code:
        yield refusal(100, message="The parameter template['language']['code'] is required.")
    if name == _HELLO:
        yield refusal(131058)
    row = find_template(templates, part)
    state = str((row or {}).get("status", "")).upper()
    if row is None or state not in ("APPROVED", *_STATES):
        yield refusal(132001, f"template name ({name}) does not exist in {code}")
        return
    if state in _STATES:
        yield refusal(_STATES[state])
    if to_user_id and row.get("category") == "AUTHENTICATION":
        yield refusal(131062)
    given = _objects(part.get("components"))
    approved = {str(each.get("type", "")).upper(): each for each in _objects(row.get("components"))}
    for place in ("header", "body"):
        yield from _parameters(approved.get(place.upper(), {}), place, row, _given(given, place), media_ids)
    yield from _buttons(_objects(approved.get("BUTTONS", {}).get("buttons")), given)


def _parameters(
    component: Json, place: str, row: Json, given: list[Json], media_ids: Container[str]
) -> Iterator[GraphRefusal]:
    form = str(component.get("format") or "TEXT").upper()
    if form in _MEDIA:
        yield from _media_header(form, given, media_ids)
        return
    if form != "TEXT":
        return
    text = str(component.get("text", ""))
    names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    if len(given) != len(names):
        said = f"number of localizable_params ({len(given)}) does not match the expected number of params"
        yield refusal(132000, f"{place}: {said} ({len(names)})")
    if other := next((each for each in given if _type(each) in ("image", "video", "document")), None):
        yield refusal(132012, f"{place}: Format mismatch, expected TEXT, received {_type(other).upper()}")
    is_named = str(row.get("parameter_format", "")).upper() == "NAMED"
    yield from _names(place, names, given, is_named=is_named)
    values = [_value(each) for each in given]
    for value in values:
        if value == "":
            yield refusal(131008, "Parameter of type text is missing text value")
        if _BAD_SPACE.search(value):
            said = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
            yield refusal(132018, said)
    by_name = dict(
        zip([each.get("parameter_name") for each in given] if is_named else names, values, strict=True)
    )
    filled = _PLACEHOLDER.sub(lambda found: by_name.get(found[1], ""), text)
    if place == "body" and len(filled) > _MAX_BODY:
        yield refusal(
            132005, f"body: the filled text has {len(filled)} characters, at most {_MAX_BODY} are allowed"
        )


def _names(place: str, names: list[str], given: list[Json], *, is_named: bool) -> Iterator[GraphRefusal]:
    for each in given:
        name = each.get("parameter_name")
        if is_named and not name:
            yield refusal(100, "Parameter name is missing or empty")
        elif is_named and name not in names:
            yield refusal(100, f"{place}: the template has no parameter {name}")
        elif name and not is_named:
            yield refusal(132012, f"{place}: the parameters of the template have no names")


def _media_header(form: str, given: list[Json], media_ids: Container[str]) -> Iterator[GraphRefusal]:
    received = _type(given[0]).upper() if len(given) == 1 else "UNKNOWN"
    if received != form:
        yield refusal(132012, f"header: Format mismatch, expected {form}, received {received}")
    media = given[0].get(form.lower()) if given else None
    yield from media_faults(form.lower(), media if isinstance(media, dict) else {}, media_ids)


def _buttons(buttons: list[Json], given: list[Json]) -> Iterator[GraphRefusal]:
    for index, button in enumerate(buttons):
        form = str(button.get("type", "")).upper()
        if not (form in ("COPY_CODE", "OTP") or (form == "URL" and "{{" in str(button.get("url", "")))):
            continue
        parameters = _given([each for each in given if str(each.get("index", 0)) == str(index)], "button")
        if not parameters or not (_value(parameters[0]) or parameters[0].get("coupon_code")):
            kind = "Url" if form == "OTP" else form.title()
            yield refusal(131008, f"buttons: Button at index {index} of type {kind} requires a parameter")


def _given(components: list[Json], kind: str) -> list[Json]:
    """The parameters that a send has for a component."""
    found = [each for each in components if str(each.get("type", "")).lower() == kind]
    return _objects(found[0].get("parameters")) if found else []


def _type(parameter: Json) -> str:
    return str(parameter.get("type", "unknown")).lower()


def _value(parameter: Json) -> str:
    """The text that takes a placeholder's place."""
    kind = _type(parameter)
    found: Any = parameter.get(kind, "")
    return str(found.get("fallback_value", "")) if isinstance(found, dict) else str(found)


def _objects(value: Any) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
