"""The OpenAPI 3.1 document, made from the declarations of the routes, so that both always agree."""

from collections.abc import Callable, Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from webhook_app.web.api.endpoints import Endpoint

_REF = "#/components/schemas/{name}"
_COMMON_STATUSES = (400, 401, 403, 429, 503)
_DESCRIPTION = """\
Failure rates, alerts and suppressed contacts, from the webhooks of WhatsApp's Cloud API.

Times are UTC in ISO 8601. Contacts are written as `+` and digits, or as a business-scoped user id. Unknown parameters
and unknown keys in a body are errors. Lists accept `limit` and `cursor` and have a stable order. `next_cursor` is null
on the last page.

Send your key as `Authorization: Bearer <key>`. A **sender** can check contacts, report sends, claim retries, follow
the change feed and read single objects. A **viewer** can read everything and check contacts, but changes nothing. An
**admin** can do everything.
"""


class Error(Struct):
    """An error: a code for programs, a message for people, and details."""

    code: str
    message: str
    details: Any


class ErrorAnswer(Struct):
    """The body of every error response."""

    error: Error


@cache
def document(endpoints: tuple[Endpoint, ...], version: str, server: str = "") -> dict[str, Any]:
    """Return the whole document. An empty `server` means the URL from which the document is read."""
    types = [kind for e in endpoints for kind in (e.body, e.answer, *e.shapes) if kind is not None]
    _, components = msgspec.json.schema_components([ErrorAnswer, *types], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "webhook_app", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": server or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    summary, _, description = (endpoint.view.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.area],
        "summary": summary.rstrip("."),
        "description": " ".join(description.split()),
        "security": [{"key": [endpoint.role]}],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint.query)],
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": _needs_body(endpoint.body), "content": _json(endpoint.body)}
    if endpoint.uploads:
        content = {media: {"schema": {"type": "string"}} for media in endpoint.uploads}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name, kind in endpoint.path_parameters.items():
        yield _parameter(name, "path", msgspec.json.schema(kind), required=True)


def _query_parameters(query: type[Struct] | None) -> Iterable[dict[str, Any]]:
    if query is None:
        return
    _, components = msgspec.json.schema_components([query], ref_template=_REF)
    schema = components[query.__name__]
    for name, held in schema["properties"].items():
        listed = {"style": "form", "explode": False} if held.get("type") == "array" else {}
        yield _parameter(name, "query", held, required=name in schema["required"]) | listed


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """Return one parameter. A null among its types only means that it is optional."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema = {key: value for key, value in schema.items() if key != "anyOf"} | choices[0]
    if schema.get("default", ...) is None:
        schema = {key: value for key, value in schema.items() if key != "default"}
    described = {"description": schema["description"]} if "description" in schema else {}
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": place, "required": required, "schema": rest} | described


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    sized = (413,) if endpoint.body else ()
    missing = (404,) if endpoint.path_parameters else ()
    statuses = sorted({*_COMMON_STATUSES, *sized, *missing, *endpoint.errors})
    streamed = {media: {"schema": {"type": "string"}} for media in endpoint.streams}
    content = streamed if endpoint.answer is None else _json(endpoint.answer) | streamed
    answered = {"200": {"description": _first_line(endpoint.answer or endpoint.view), "content": content}}
    if endpoint.conditional:
        answered["304"] = {"description": "Not Modified"}
    return answered | {
        str(status): {"description": HTTPStatus(status).phrase, "content": _json(ErrorAnswer)}
        for status in statuses
    }


def _json(kind: type[Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}


def _needs_body(body: type[Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(body))


def _first_line(kind: Callable[..., Any]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0] or "OK"
