"""/openapi.json, and /docs, which shows the same document as a page."""

import hashlib
import json
from functools import cache
from typing import Any

import msgspec
from flask import Blueprint, Response, render_template, request

from webhook_app.web import security_headers
from webhook_app.web.pages.appearance import theme
from webhook_app.web.request_limits import has_tag

_REF = "#/components/schemas/"
_TYPE_WORDS = {"date-time": "time", "integer": "whole number", "boolean": "true or false"}


def docs_blueprint(document: dict[str, Any]) -> Blueprint:
    """Return the blueprint of both. They contain no data and need no key, so each is made once per process."""
    blueprint = Blueprint("docs", "webhook_app.web", static_folder="static", static_url_path="/docs/static")
    encoded = _Kept(msgspec.json.encode(document), "application/json")

    @cache
    def page(_theme: str) -> _Kept:
        areas, schemas = _areas(document), _schemas(document)
        text = render_template("docs.html", info=document["info"], areas=areas, schemas=schemas)
        return _Kept(text.encode(), "text/html; charset=utf-8")

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return encoded.response()

    @blueprint.get("/docs")
    def docs() -> Response:
        response = page(theme(request)).response()
        response.vary.add("Cookie")
        return response

    security_headers.secure_pages(blueprint)
    return blueprint


class _Kept:
    """An answer that is always the same, whose bytes all requests share."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self._body, self._content_type = body, content_type
        self._tag = hashlib.sha256(body).hexdigest()[:32]

    def response(self) -> Response:
        """The answer to the current request; without the body for a client that has it."""
        if has_tag(request.headers.get("If-None-Match", ""), self._tag):
            response = Response(status=304)
        else:
            response = Response(self._body, content_type=self._content_type)
        response.set_etag(self._tag)
        return response


def _areas(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the operations by area, each as the page shows it."""
    areas: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            areas.setdefault(operation["tags"][0], []).append(_operation(method.upper(), path, operation))
    return areas


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    content = operation["responses"]["200"]["content"]
    answer = content.get("application/json", {}).get("schema", {})
    parameters = [
        _row(p["name"], p["schema"], p.get("description", ""), p["required"]) for p in operation["parameters"]
    ]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "role": operation["security"][0]["key"][0],
        "parameters": parameters,
        "body": _schema_name(body) if body else None,
        "answer": _schema_name(answer),
        "streams": [media for media in content if media != "application/json"],
        "errors": sorted(status for status in operation["responses"] if status != "200"),
    }


def _schemas(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of bodies and answers, field by field."""
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    return [
        {
            "name": name,
            "description": schema.get("description", ""),
            "fields": [
                _row(field, held, held.get("description", ""), field in schema["required"])
                for field, held in schema.get("properties", {}).items()
            ],
        }
        for name, schema in schemas.items()
    ]


def _row(name: str, schema: dict[str, Any], description: str, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_in_words(schema),
        "limits": _limits(schema),
        "link": _schema_name(schema.get("items", schema)),
        "description": description,
        "required": required,
    }


def type_in_words(schema: dict[str, Any]) -> str:
    """Return a schema's type in words, such as `list of Result` or `text or null`."""
    if "$ref" in schema:
        return _schema_name(schema)
    if "anyOf" in schema:
        return " or ".join(type_in_words(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {type_in_words(schema.get('items', {}))}"
    if kind == "string":
        kind = schema.get("format", "text")
    return _TYPE_WORDS.get(kind, str(kind))


def _limits(schema: dict[str, Any]) -> str:
    """Return bounds and default, with JSON values."""
    names = {"minimum": "at least", "maximum": "at most", "maxItems": "at most", "default": "default"}
    return ", ".join(f"{words} {json.dumps(schema[name])}" for name, words in names.items() if name in schema)


def _schema_name(schema: dict[str, Any]) -> str:
    """Return the name of the schema it refers to, directly or as one choice; empty if there is none."""
    choices = [schema, *schema.get("anyOf", ())]
    return next((str(c["$ref"]).removeprefix(_REF) for c in choices if "$ref" in c), "")
