"""Answers a busy endpoint directly from the WSGI environment: without Flask's request, in half the processor time.

It answers only ordinary requests. Unusual or failing ones go on to the Flask route, which gives the same answers and
words every error.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from flask import Flask

from webhook_app.web import requests
from webhook_app.web.api.endpoints import ApiContext, Endpoint
from webhook_app.web.api.routes import API_ERROR, JSON, EndpointCaller, encode
from webhook_app.web.api.values import check_times
from webhook_app.web.request_limits import has_tag
from webhook_app.web.security_headers import data_headers

_CACHED_QUERIES = 1000  # senders repeat the same few query strings with each contact
_MAX_QUERY = 500


def answer_directly(app: Flask, endpoints: Iterable[Endpoint], context: ApiContext) -> None:
    """Answer these endpoints before the Flask application: GETs with one text parameter at the end of the path."""
    answers = {endpoint.path.partition("{")[0]: _DirectEndpoint(endpoint, context) for endpoint in endpoints}
    application: WSGIApplication = app.wsgi_app

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            prefix, slash, last = environ["PATH_INFO"].rpartition("/")
            answer = answers.get(prefix + slash)
            if answer is not None and (found := answer(last, environ)) is not None:
                status, headers, body = found
                start_response(status, headers)
                return body
        try:
            return application(environ, start_response)
        finally:  # whichever route answered: the error's traceback would keep the request alive
            environ.pop(API_ERROR, None)

    app.wsgi_app = serve  # type: ignore[method-assign]


class _DirectEndpoint:
    """Answers the requests of one endpoint."""

    def __init__(self, endpoint: Endpoint, context: ApiContext) -> None:
        (self._parameter,) = endpoint.path_parameters
        self._endpoint, self._context = endpoint, context
        self._caller = EndpointCaller(endpoint, context)
        self._headers = data_headers(context.settings.public_url)
        self._name = f"api.{endpoint.name}"
        kind, fields = endpoint.query or msgspec.Struct, endpoint.query_fields
        self._query = lru_cache(_CACHED_QUERIES)(lambda text: _read(text, kind, fields))

    def __call__(
        self, last: str, environ: WSGIEnvironment
    ) -> tuple[str, list[tuple[str, str]], list[bytes]] | None:
        """Return status, headers and body; None leaves the answer to the Flask route."""
        started = perf_counter()
        query = environ.get("QUERY_STRING", "")
        if not last or not last.isascii() or "\0" in last or len(query) > _MAX_QUERY:
            return None
        request_id = requests.begin(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            arguments = {self._parameter: last, "query": self._query(query)}
        except ValueError:
            return None
        try:
            now = self._context.clock()
            key = self._context.keyring.require(self._endpoint.role, environ, now)
            found, added = self._caller.answer(now, key, arguments)
        except Exception as error:  # noqa: BLE001  the route raises it again
            environ[API_ERROR] = error
            return None
        headers = [*added.items(), *self._headers, (requests.HEADER, request_id)]
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and "ETag" in added and has_tag(known, added["ETag"].strip('"')):
            status, body = "304 NOT MODIFIED", b""
        else:
            status, body = "200 OK", encode(found)
            headers += (("Content-Type", JSON), ("Content-Length", str(len(body))))
        requests.end(self._name, status[:3], started)
        return status, headers, [body]


def _read(text: str, kind: type[msgspec.Struct], fields: Mapping[str, Any]) -> msgspec.Struct:
    """Decode the query. Raises ValueError for an unknown, repeated or malformed parameter."""
    given = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    values = dict(given)
    if len(values) != len(given) or not values.keys() <= fields.keys():
        raise ValueError(text)
    query = msgspec.convert(values, kind, strict=False)
    check_times(query)
    return query
