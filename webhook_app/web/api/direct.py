"""Answers of a busy endpoint straight from what the server read: without Flask's request, in half the processor time.

Only what is asked as usual is answered here. Whatever is odd or fails goes on to the route, which words every fault;
both give the same answer.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from flask import Flask
from werkzeug.http import parse_etags

from webhook_app.web import requests
from webhook_app.web.api.endpoints import ApiContext, Endpoint
from webhook_app.web.api.routes import FAULT, JSON, Service, encode
from webhook_app.web.security_headers import data_headers

_REMEMBERED = 1000  # what senders ask for beside the contact is always the same
_MAX_QUERY = 500


def answer_directly(app: Flask, endpoints: Iterable[Endpoint], room: ApiContext) -> None:
    """Have these answered before the application sees them: GETs with one text at the end of their path."""
    answers = {endpoint.path.partition("{")[0]: _Direct(endpoint, room) for endpoint in endpoints}
    rest: WSGIApplication = app.wsgi_app

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            before, slash, last = environ["PATH_INFO"].rpartition("/")
            answer = answers.get(before + slash)
            if answer is not None and (found := answer(last, environ)) is not None:
                status, headers, body = found
                start_response(status, headers)
                return body
        return rest(environ, start_response)

    app.wsgi_app = serve  # type: ignore[method-assign]


class _Direct:
    """One endpoint."""

    def __init__(self, endpoint: Endpoint, room: ApiContext) -> None:
        (self._parameter,) = endpoint.path_parameters
        self._endpoint, self._room = endpoint, room
        self._service = Service(endpoint, room)
        self._headers = data_headers(room.settings.public_url)
        self._name = f"api.{endpoint.name}"
        kind, fields = endpoint.query or msgspec.Struct, endpoint.query_fields
        self._query = lru_cache(_REMEMBERED)(lambda text: _read(text, kind, fields))

    def __call__(
        self, last: str, environ: WSGIEnvironment
    ) -> tuple[str, list[tuple[str, str]], list[bytes]] | None:
        """Status, headers and body; None: the route is to answer."""
        began = perf_counter()
        query = environ.get("QUERY_STRING", "")
        if not last or not last.isascii() or "\0" in last or len(query) > _MAX_QUERY:
            return None
        request_id = requests.begin(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            arguments = {self._parameter: last, "query": self._query(query)}
        except ValueError:
            return None
        try:
            now = self._room.clock()
            key = self._room.keyring.require(self._endpoint.role, environ.get("HTTP_AUTHORIZATION", ""), now)
            found, more = self._service.answer(now, key, arguments)
        except Exception as fault:  # noqa: BLE001  the route says what it is
            environ[FAULT] = fault
            return None
        headers = [*more.items(), *self._headers, (requests.HEADER, request_id)]
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and "ETag" in more and parse_etags(known).contains_weak(more["ETag"].strip('"')):
            status, body = "304 NOT MODIFIED", b""
        else:
            status, body = "200 OK", encode(found)
            headers += (("Content-Type", JSON), ("Content-Length", str(len(body))))
        requests.end(self._name, status[:3], began)
        return status, headers, [body]


def _read(text: str, kind: type[msgspec.Struct], fields: Mapping[str, Any]) -> msgspec.Struct:
    """The query. Raises ValueError unless each parameter is known and given once as it is."""
    given = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    values = dict(given)
    if len(values) != len(given) or not values.keys() <= fields.keys():
        raise ValueError(text)
    return msgspec.convert(values, kind, strict=False)
